//! Messages to a later invocation of the function.

pub mod sqs; // Amazon SQS
