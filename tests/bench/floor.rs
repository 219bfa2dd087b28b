//! An empty function on the runtime that the real one uses: what a start and an event cost at least.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let nothing = async |_: LambdaEvent<Value>| Ok::<_, Error>(json!({"outcome": "nothing"}));
    lambda_runtime::run(service_fn(nothing)).await
}
