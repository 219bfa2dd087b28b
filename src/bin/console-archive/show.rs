//! Results → text for people or JSON for programs, on standard output.

use std::fmt::Display;
use std::io::{BufWriter, IsTerminal as _, Write as _, stderr, stdout};
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use ecs_console_archiver::archive::{Listed, ListedMarker, Listing, Opened};
use ecs_console_archiver::capture::CaptureError;
use ecs_console_archiver::credentials::Credentials;
use ecs_console_archiver::ids::InstanceId;
use ecs_console_archiver::reply::InvocationError;
use ecs_console_archiver::store::{Store, StoreError};
use ecs_console_archiver::{printable, terminal};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::End;
use crate::arguments::Output;

/// The only way by which JSON is printed, in lines for people.
pub fn json(value: &Value) -> Result<()> {
    writeln!(stdout(), "{}", printable::json(&format!("{value:#}")))?;
    Ok(())
}

/// The same on one line, for programs that read a line at a time.
fn json_line(value: &Value) -> Result<()> {
    writeln!(stdout(), "{}", printable::json(&value.to_string()))?;
    Ok(())
}

/// A line on standard error. It may quote a service, a file or an event.
pub fn error(what: impl Display) {
    let text = what.to_string();
    let _ = writeln!(stderr(), "console-archive: {}", printable::lines(&text));
}

/// Says that there was no more time to try again in, where that is why a command failed.
pub fn time_is_over(failure: &anyhow::Error, time: Duration) {
    let is_transient = match failure.downcast_ref::<CaptureError>() {
        Some(error) => error.is_transient(),
        None => failure
            .downcast_ref::<StoreError>()
            .is_some_and(StoreError::is_transient),
    };
    if is_transient {
        timed_out(&failure.to_string(), time);
    }
}

/// The same of a failure that may pass, where its own text does not say it.
pub fn timed_out(failure: &str, time: Duration) {
    if !failure.contains("timed out") {
        error(format_args!(
            "timed out after {} s; --timeout gives it longer",
            time.as_secs()
        ));
    }
}

/// What a listing without consoles means.
pub fn emptiness(listing: &Listing, instance_id: Option<&InstanceId>) -> End {
    let of = instance_id.map_or(String::new(), |id| format!(" of {id}"));
    match (listing.records.len(), listing.markers.len()) {
        (0, 0) => {
            error(format_args!("no records{of}"));
            End::Nothing
        }
        (0, 1) => {
            error(format_args!("no console{of}, and a marker that says why"));
            End::Done
        }
        (0, markers) => {
            error(format_args!(
                "no console{of}, and {markers} markers that say why"
            ));
            End::Done
        }
        _ => End::Done,
    }
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
                "is_undecoded": record.key.is_undecoded,
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
    let path = printable::one_line(&path);
    match (reply, output) {
        (Ok(reply), Output::Json) => json_line(reply)?,
        (Err(error), Output::Json) => {
            json_line(&error.to_json())?;
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
            let message = printable::lines(&error.message);
            writeln!(stdout(), "{path}\n  {}: {message}", error.error_type)?;
        }
    }
    Ok(())
}

pub fn outcome(outcome: &Value, output: Output) -> Result<()> {
    if output == Output::Json {
        return json(outcome);
    }
    let text = |member: &str| printable::one_line(outcome[member].as_str().unwrap_or_default());
    let freshness = match outcome["freshness"].as_str() {
        Some(word) => format!(" ({})", printable::one_line(word)),
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
        _ => printable::json(&outcome.to_string()).into_owned(), // The reply to an SQS batch or an HTTP request.
    };
    writeln!(stdout(), "  {line}")?;
    Ok(())
}

pub fn console(
    listed: &Listed,
    opened: &Opened,
    faults: &[String],
    raw: bool,
    output: Output,
) -> Result<()> {
    let is_terminal = stdout().is_terminal();
    if listed.key.is_undecoded {
        eprintln!("console-archive: ECS sent this in place of Base64; it is printed as it came");
    }
    if output == Output::Json {
        let text = String::from_utf8_lossy(&opened.plain);
        let stored_as = opened.object.metadata.get("freshness");
        let mut value = json!({
            "instance_id": listed.key.instance_id,
            "name": listed.key.name(),
            "freshness": listed.verdict.map_or(stored_as.map(String::as_str), |v| Some(v.as_str())),
            "metadata": opened.object.metadata,
            "is_utf8": std::str::from_utf8(&opened.plain).is_ok(),
            "console": text,
        });
        if !faults.is_empty() {
            value["damage"] = json!(faults);
        }
        return json(&value);
    }
    if is_terminal {
        let _ = writeln!(stderr(), "# {}", listed.key.name());
    }
    let mut stdout = BufWriter::new(stdout().lock());
    if raw || !is_terminal {
        stdout.write_all(&opened.plain)?;
    } else {
        let colours = anstyle_query::term_supports_color() && !anstyle_query::no_color();
        let mut shown = String::new();
        for line in terminal::lines(&opened.plain) {
            line.show(colours, &mut shown);
            stdout.write_all(shown.as_bytes())?;
            shown.clear();
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
