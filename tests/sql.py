"""Runs the SQL of docs/sql.md and of infra/aws/queries with DuckDB, and compares with what `list --output json` printed.

usage: tests/sql.py ARCHIVE LIST_JSON

Athena cannot run here. Its queries are translated into DuckDB's language by sqlglot, which knows both, over a table
with the columns and types of Athena's: a translation shows what the queries mean, and not that Athena takes them.
"""

import json
import re
import sys
from pathlib import Path

import duckdb
import sqlglot

from sql_answers import check, questions, same

archive, listing = sys.argv[1], json.loads(Path(sys.argv[2]).read_text())
database = duckdb.connect()


def rows(sql):
    found = database.execute(sql)
    names = [column[0] for column in found.description]
    return [dict(zip(names, row)) for row in found.fetchall()]


variable, blocks = questions()
database.execute(Path("infra/sql/duckdb.sql").read_text())
database.execute(variable)
database.execute(f"SET VARIABLE archive = '{archive}'")
check("DuckDB", rows, listing, "SELECT count(*) AS n FROM records(getvariable('archive'))", *blocks)
days = rows("SELECT min(dt)::VARCHAR AS dt FROM records(getvariable('archive'))")[0]["dt"]
path = rows(f"SELECT count(*) AS n FROM records(getvariable('archive'), days := '{days}')")[0]["n"]
every = rows(f"SELECT count(*) AS n FROM records(getvariable('archive')) WHERE dt = '{days}'")[0]["n"]
same("DuckDB: a day by its path, as by a condition", path, every)

# Athena's table, as the module has it: Hive's types, and times as text.
columns = re.findall(r'\{ name = "(\w+)", type = "([\w<>:,]+)" \}', Path("infra/aws/main.tf").read_text())
types = {"string": "VARCHAR", "boolean": "BOOLEAN", "bigint": "BIGINT", "int": "INTEGER"}
FINDINGS = (
    "STRUCT(id VARCHAR, family VARCHAR, severity VARCHAR, title VARCHAR, signature VARCHAR, count BIGINT, "
    "line BIGINT, bytes BIGINT[])[]"
)
schema = ", ".join(f"{name}: '{FINDINGS if name == 'findings' else types[kind]}'" for name, kind in columns)
database.execute(
    f"CREATE TABLE catalog_rows AS FROM read_json('{archive}/catalog/days/dt=*/*.jsonl.gz', columns = {{{schema}}}, "
    "format = 'newline_delimited', hive_partitioning = true, hive_types = {'dt': 'VARCHAR'})"
)
# The same row again, of the same day and of a later one, as other objects may have it until the next `compact`; and a
# record that was pruned, which is left out.
names = ", ".join(name for name, _ in columns if name not in ("key", "pruned_at"))
database.execute(f"""
    INSERT INTO catalog_rows BY NAME SELECT * FROM catalog_rows;
    INSERT INTO catalog_rows BY NAME SELECT * REPLACE ('2099-01-01' AS dt, '2099-01-01T00:00:00Z' AS captured_at)
        FROM catalog_rows WHERE outcome = 'no_console';
    INSERT INTO catalog_rows BY NAME
        SELECT {names}, 'i-pruned/1.log.gz' AS key, '2099-01-01T00:00:00.5Z' AS pruned_at, dt FROM catalog_rows
        WHERE outcome = 'stored' LIMIT 1;
""")
queries = {file.stem: file.read_text() for file in Path("infra/aws/queries").glob("*.sql")}
queries = {name: sqlglot.transpile(text, read="athena", write="duckdb")[0] for name, text in queries.items()}
database.execute(queries.pop("create-view"))
asked = [queries.pop(name) for name in ("captures", "endings", "no-login", "no-console", "panics", "signatures")]
if queries:
    sys.exit(f"nothing is known of {', '.join(queries)}")
check("Athena", rows, listing, "SELECT count(*) AS n FROM records", *asked)
[captured] = {type(row["captured_at"]) for row in rows("SELECT captured_at FROM records LIMIT 1")}
same("Athena: times are times", captured.__name__, "datetime")
