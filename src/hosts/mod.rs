//! Everyone who calls this program: function platforms, HTTP senders, and people who replay failed
//! events. Each host passes its payload to one function, [`dispatch`].

mod compact; // the catalog's rows, joined when a schedule asks for it
pub mod dispatch; // one payload in, one typed Reply out: the only door
pub mod examine; // what a deployed function says of itself
mod extension; // AWS Lambda waits for work after an answer
mod function_compute; // its control paths, credentials and log lines
pub mod lambda; // AWS Lambda's Runtime API
pub mod places; // how many requests are served at the same time
pub mod pushes; // what this process remembers of HTTP pushes
pub mod redrive; // failed events through the door again
pub mod reply; // what became of a payload → the answer its sender expects (pure)
mod scheduled_redrive; // the same when a schedule asks for it, with bounds
pub mod served; // what became of one event, and its line in the log
pub mod server; // HTTP: limits, health, shutdown
pub mod told; // a finding → a line in the log, and a metric
mod turns; // whose turn it is in a scheduled redrive (pure)
