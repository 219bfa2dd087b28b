"""Runs the questions of docs/sql.md with Spark, and compares with what `list --output json` printed.

usage: tests/spark.py ARCHIVE LIST_JSON
"""

import json
import sys
from pathlib import Path

from pyspark.sql import SparkSession

from sql_answers import check, questions

archive, listing = sys.argv[1], json.loads(Path(sys.argv[2]).read_text())
spark = (
    SparkSession.builder.master("local[1]")
    .config("spark.archive", archive)
    .config("spark.ui.enabled", "false")
    .config("spark.ui.showConsoleProgress", "false")
    .config("spark.log.level", "ERROR")
    # Times are compared as UTC, which the list has.
    .config("spark.sql.session.timeZone", "UTC")
    .config("spark.sql.shuffle.partitions", "1")
    # Only loopback.
    .config("spark.driver.host", "127.0.0.1")
    .config("spark.driver.bindAddress", "127.0.0.1")
    .getOrCreate()
)
text = Path("infra/sql/spark.sql").read_text()
for statement in filter(str.strip, text.split(";\n")):
    spark.sql(statement)


def rows(sql):
    sql = sql.replace("records(getvariable('archive'))", "records").replace("unnest(", "explode(").strip().removesuffix(";")
    return [row.asDict() for row in spark.sql(sql).collect()]


check("Spark", rows, listing, "SELECT count(*) AS n FROM records", *questions()[1])
spark.stop()
