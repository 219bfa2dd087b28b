//! Results → text for people or JSON for programs, on standard output.

use std::io::{IsTerminal as _, Write as _, stdout};
use std::path::Path;

use anyhow::Result;
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use ecs_console_archiver::archive::{Listed, ListedMarker, Listing, Opened};
use ecs_console_archiver::credentials::Credentials;
use ecs_console_archiver::reply::InvocationError;
use ecs_console_archiver::store::Store;
use ecs_console_archiver::terminal::printable;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::arguments::Output;

pub fn json(value: &Value) -> Result<()> {
    writeln!(stdout(), "{value:#}")?;
    Ok(())
}

/// Records and, between them, where there was no console, by instance and time.
pub fn listing(store: &impl Store, listing: &Listing, output: Output) -> Result<()> {
    let Listing { records, markers } = listing;
    if output == Output::Json {
        let record = |record: &Listed| {
            let key = record.key.to_string();
            let mut json = json!({
                "instance_id": record.key.instance_id,
                "last_update_time": record.key.last_update_time.map(|time| time.to_string()),
                "name": record.key.name(),
                "gzip_bytes": record.gzip_bytes,
                "stored_at": record.stored_at.to_string(),
                "url": store.url(&key),
                "key": key,
            });
            if let Some(verdict) = record.verdict {
                json["verdict"] = json!(verdict);
            }
            json
        };
        let marker = |marker: &ListedMarker| {
            let key = marker.key.to_string();
            json!({
                "instance_id": marker.key.instance_id,
                "none": marker.key.reason,
                "event_time": marker.key.time.to_string(),
                "stored_at": marker.stored_at.to_string(),
                "url": store.url(&key),
                "key": key,
            })
        };
        let all = records.iter().map(record).chain(markers.iter().map(marker));
        return json(&all.collect());
    }
    if records.is_empty() && markers.is_empty() {
        return Ok(());
    }
    let time = |time: Timestamp| time.strftime("%Y-%m-%d %H:%M:%S").to_string();
    // Most records say it in their metadata, which a listing does not read.
    let has_verdicts = records.iter().any(|record| record.verdict.is_some());
    let record = |record: &Listed| {
        let mut row = vec![
            record.key.instance_id.to_string(),
            record.key.name(),
            record.gzip_bytes.to_string(),
            time(record.stored_at),
        ];
        row.extend(record.verdict.map(|verdict| verdict.to_string()));
        row
    };
    let marker = |marker: &ListedMarker| {
        vec![
            marker.key.instance_id.to_string(),
            format!(
                "{}  none: {}",
                marker.key.time.strftime("%Y%m%dT%H%M%SZ"),
                marker.key.reason.word()
            ),
            "-".to_owned(),
            time(marker.stored_at),
        ]
    };
    let mut rows: Vec<_> = records.iter().map(record).collect();
    rows.extend(markers.iter().map(marker));
    rows.sort_by(|a, b| (&a[0], &a[3]).cmp(&(&b[0], &b[3])));
    let mut table = Table::new();
    table.load_style(NOTHING);
    let mut header = vec!["INSTANCE", "RECORD", "BYTES", "STORED (UTC)"];
    header.extend(has_verdicts.then_some("AT THE END"));
    table.set_header(header);
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    if let Some(bytes) = table.column_mut(2) {
        bytes.set_cell_alignment(CellAlignment::Right);
    }
    writeln!(stdout(), "{}", table.trim_fmt())?;
    Ok(())
}

pub fn reply(path: &Path, reply: &Result<Value, InvocationError>, output: Output) -> Result<()> {
    let path = path.display().to_string();
    match (reply, output) {
        (Ok(reply), Output::Json) => writeln!(stdout(), "{reply}")?,
        (Err(error), Output::Json) => {
            writeln!(stdout(), "{}", error.to_json())?;
        }
        (Ok(Value::Array(outcomes)), Output::Text) => {
            writeln!(stdout(), "{path}")?;
            outcomes.iter().try_for_each(|one| outcome(one, output))?;
        }
        (Ok(reply), Output::Text) => {
            writeln!(stdout(), "{path}")?;
            outcome(reply, output)?;
        }
        (Err(error), Output::Text) => {
            let message = printable(error.message.as_bytes());
            writeln!(stdout(), "{path}\n  {}: {message}", error.error_type)?;
        }
    }
    Ok(())
}

pub fn outcome(outcome: &Value, output: Output) -> Result<()> {
    if output == Output::Json {
        writeln!(stdout(), "{outcome:#}")?;
        return Ok(());
    }
    let text = |member: &str| printable(outcome[member].as_str().unwrap_or_default().as_bytes());
    let freshness = match outcome["freshness"].as_str() {
        Some(word) => format!(" ({})", printable(word.as_bytes())),
        None => String::new(),
    };
    let line = match outcome["outcome"].as_str() {
        Some("stored") => format!(
            "stored {}, {} bytes as {}{freshness}",
            text("url"),
            outcome["console_bytes"],
            outcome["gzip_bytes"]
        ),
        Some("already_stored") => format!("already stored {}{freshness}", text("url")),
        Some("following") => format!(
            "asking for {} again in {} s",
            text("instance_id"),
            outcome["follow_in_seconds"]
        ),
        Some("no_console") => format!("no console of {}: {}", text("instance_id"), text("message")),
        Some("swept") => format!(
            "swept {} instances: {} stored, {} already stored, {} without a console, {} failed{}",
            outcome["instances"],
            outcome["stored"],
            outcome["already_stored"],
            outcome["no_console"],
            outcome["failed"],
            if outcome["resume"].is_null() {
                ""
            } else {
                "; more is left"
            }
        ),
        Some("ignored") => format!("ignored: {}", text("message")),
        _ => outcome.to_string(), // The reply to an SQS batch or an HTTP request.
    };
    writeln!(stdout(), "  {line}")?;
    Ok(())
}

pub fn console(listed: &Listed, opened: &Opened, raw: bool, output: Output) -> Result<()> {
    let mut stdout = stdout();
    if output == Output::Json {
        let text = String::from_utf8_lossy(&opened.plain);
        let stored_as = opened.object.metadata.get("freshness");
        let json = json!({
            "instance_id": listed.key.instance_id,
            "name": listed.key.name(),
            "freshness": listed.verdict.map_or(stored_as.map(String::as_str), |v| Some(v.as_str())),
            "metadata": opened.object.metadata,
            "is_utf8": std::str::from_utf8(&opened.plain).is_ok(),
            "console": text,
        });
        writeln!(stdout, "{json:#}")?;
    } else if raw || !stdout.is_terminal() {
        stdout.write_all(&opened.plain)?;
    } else {
        let text = printable(&opened.plain);
        stdout.write_all(text.as_bytes())?;
        if !text.ends_with('\n') {
            writeln!(stdout)?;
        }
    }
    stdout.flush()?;
    Ok(())
}

pub fn simulator_settings(endpoint_url: &str, credentials: &Credentials) -> Result<()> {
    let mut stdout = stdout();
    writeln!(
        stdout,
        "# The simulator is up. In another terminal:\n\
         export ECS_ENDPOINT_URL={endpoint_url}\n\
         export STS_ENDPOINT_URL={endpoint_url}\n\
         export ALIBABA_CLOUD_ACCESS_KEY_ID={}\n\
         export ALIBABA_CLOUD_ACCESS_KEY_SECRET={}\n\
         export ALIBABA_CLOUD_REGION_ID=cn-hangzhou\n\
         export ARCHIVE_URL=file://$PWD/archive",
        credentials.access_key_id,
        credentials.access_key_secret.expose(),
    )?;
    stdout.flush()?;
    Ok(())
}
