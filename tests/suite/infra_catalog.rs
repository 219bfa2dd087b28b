//! The tables of the catalog for engines of SQL, which have the same columns as its rows.

use std::collections::BTreeMap;

use ecs_console_archiver::archive::catalog::{Row, Subject};
use jiff::Timestamp;

use crate::support::root;

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// Column → type, of the lines between two texts that have such a pair.
#[track_caller]
fn columns(
    path: &str,
    (start, end): (&str, &str),
    pair: impl Fn(&str) -> Option<(&str, &str)>,
) -> BTreeMap<String, String> {
    let text = read(path);
    let (_, text) = text.split_once(start).expect(start);
    let (text, _) = text.split_once(end).expect(end);
    let pairs = text.lines().filter_map(|line| pair(line.trim()));
    pairs
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect()
}

/// `name: 'TYPE'`, as in DuckDB's file.
fn of_duckdb() -> BTreeMap<String, String> {
    columns("infra/sql/duckdb.sql", ("columns = {", "}"), |line| {
        let (name, kind) = line.trim_end_matches(',').split_once(": ")?;
        Some((name, kind.trim_matches('\'')))
    })
}

/// The type of Hive that reads what a type of DuckDB reads. Times differ: see the comments there.
fn of_hive(duckdb: &str) -> &'static str {
    match duckdb {
        "VARCHAR" | "TIMESTAMPTZ" => "string",
        "BOOLEAN" => "boolean",
        "BIGINT" => "bigint",
        "INTEGER" => "int",
        findings if findings.starts_with("STRUCT(") => {
            "array<struct<id:string,family:string,severity:string,title:string,signature:string,count:bigint,line:bigint,bytes:array<bigint>>>"
        }
        other => panic!("{other}"),
    }
}

/// The same of Spark, whose times take the form of the rows.
fn of_spark(duckdb: &str) -> String {
    match duckdb {
        "TIMESTAMPTZ" => "TIMESTAMP".to_owned(),
        findings if findings.starts_with("STRUCT(") => "ARRAY<STRUCT<id: STRING, family: STRING, severity: STRING, title: STRING, signature: STRING, count: BIGINT, line: BIGINT, bytes: ARRAY<BIGINT>>>".to_owned(),
        other => of_hive(other).to_uppercase(),
    }
}

#[test]
fn the_tables_of_all_engines_have_the_members_of_a_row() {
    let key = "i-bp1abc/20260101T000000-0123456789ab.log.gz";
    let row = Row::pruned(
        Subject::parse(key).unwrap(),
        Timestamp::UNIX_EPOCH,
        Timestamp::UNIX_EPOCH,
    );
    let row = serde_json::to_value(row).unwrap();
    let mut members: Vec<_> = row.as_object().unwrap().keys().collect();
    members.sort();
    let duckdb = of_duckdb();
    assert_eq!(duckdb.keys().collect::<Vec<_>>(), members);

    let expected: BTreeMap<_, _> = duckdb
        .iter()
        .map(|(name, kind)| (name.clone(), of_hive(kind).to_owned()))
        .collect();
    let module = columns(
        "infra/aws/main.tf",
        ("catalog_columns = [", "\n  ]\n"),
        |line| {
            let (name, kind) = line
                .strip_prefix("{ name = \"")?
                .split_once("\", type = \"")?;
            Some((name, kind.strip_suffix("\" },")?))
        },
    );
    assert_eq!(module, expected, "infra/aws/main.tf");
    let template = read("infra/aws/template.yaml");
    let (_, table) = template.split_once("\n  CatalogRows:\n").unwrap();
    let (_, table) = table.split_once("          Columns:\n").unwrap();
    let (table, _) = table.split_once("          Location:").unwrap();
    let lines: Vec<_> = table.lines().map(str::trim).collect();
    let pairs = lines.chunks(2).map(|pair| {
        let name = pair[0].strip_prefix("- Name: ").unwrap();
        (
            name.to_owned(),
            pair[1].strip_prefix("Type: ").unwrap().to_owned(),
        )
    });
    assert_eq!(
        pairs.collect::<BTreeMap<_, _>>(),
        expected,
        "infra/aws/template.yaml"
    );

    let spark = columns("infra/sql/spark.sql", ("catalog_rows (", ")"), |line| {
        line.trim_end_matches(',').split_once(' ')
    });
    let expected: BTreeMap<_, _> = duckdb
        .iter()
        .map(|(name, kind)| (name.clone(), of_spark(kind)))
        .collect();
    assert_eq!(spark, expected, "infra/sql/spark.sql");

    // Every member is in the view, too.
    let view = read("infra/aws/queries/create-view.sql");
    let (_, selected) = view.split_once("SELECT\n").unwrap();
    let (selected, _) = selected.split_once("FROM").unwrap();
    let mut selected: Vec<_> = selected.split(',').map(str::trim).collect();
    assert_eq!(selected.pop(), Some("dt"));
    selected.sort_unstable();
    assert_eq!(selected, members);
}

#[test]
fn both_templates_of_aws_have_the_same_table_of_the_catalog() {
    let (module, template) = (read("infra/aws/main.tf"), read("infra/aws/template.yaml"));
    let (_, module) = module
        .split_once("resource \"aws_glue_catalog_table\" \"catalog\" {")
        .unwrap();
    let (_, template) = template.split_once("\n  CatalogRows:\n").unwrap();
    for (name, value) in [
        ("classification", "json"),
        ("projection.enabled", "true"),
        ("projection.dt.type", "date"),
        ("projection.dt.format", "yyyy-MM-dd"),
        ("projection.dt.range", "2026-01-01,NOW"),
    ] {
        let own = module.lines().find_map(|line| {
            let (key, own) = line.trim().split_once('=')?;
            (key.trim() == format!("\"{name}\"")).then_some(own.trim())
        });
        assert_eq!(own, Some(format!("\"{value}\"").as_str()), "{name}");
        let own = template
            .lines()
            .find_map(|line| line.trim().strip_prefix(&format!("{name}: ")));
        assert_eq!(own.map(|own| own.trim_matches('"')), Some(value), "{name}");
    }
    let library = "org.apache.hive.hcatalog.data.JsonSerDe";
    assert!(module.contains(library) && template.contains(library));
    assert!(template.contains("/console/catalog/days/dt=${!dt}/\n"));
    assert!(module.contains("/catalog/days/dt=$${dt}/\""));
}

#[test]
fn both_templates_of_aws_have_the_same_queries() {
    let template = read("infra/aws/template.yaml");
    let queries = std::fs::read_dir(root().join("infra/aws/queries")).unwrap();
    let paths: Vec<_> = queries.map(|entry| entry.unwrap().path()).collect();
    for path in &paths {
        let text = std::fs::read_to_string(path).unwrap();
        let (description, query) = text.split_once('\n').unwrap();
        let description = description.strip_prefix("-- ").unwrap();
        let lines = query.lines().map(|line| format!("        {line}\n"));
        let query: String = lines.collect();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let name = stem.replace('-', " ");
        let expected = format!(
            "      Name: !Sub \"${{AWS::StackName}}: {name}\"\n      Description: \"{description}\"\n      \
             Database: !Ref Database\n      QueryString: |\n{query}\n"
        );
        assert!(format!("{template}\n").contains(&expected), "{expected}");
    }
    let resources = template.matches("Type: AWS::Athena::NamedQuery\n").count();
    assert_eq!(resources, paths.len());
    assert!(paths.len() > 1);
}
