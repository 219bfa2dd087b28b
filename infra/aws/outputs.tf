output "function_name" {
  description = "What `aws lambda invoke --function-name` takes"
  value       = aws_lambda_function.archiver.function_name
}

output "function_role_arn" {
  description = "Role of the function, whose tokens the RAM role trusts"
  value       = aws_iam_role.archiver.arn
}

output "archive_url" {
  description = "What console-archive takes as ARCHIVE_URL"
  value       = local.archive_url
}

output "events_url" {
  description = "Queue to send events to"
  value       = aws_sqs_queue.events.url
}

output "failed_events_url" {
  description = "What console-archive redrive takes as --queue-url"
  value       = aws_sqs_queue.failed_events.url
}

output "reader_policy_arn" {
  description = "Policy for those who read the archive"
  value       = aws_iam_policy.reader.arn
}

output "redrive_policy_arn" {
  description = "Policy for those who serve failed events again"
  value       = aws_iam_policy.redrive.arn
}

output "webhook_url" {
  description = "HTTPS target of the EventBridge rules; null without a token"
  value       = one(aws_lambda_function_url.archiver[*].function_url)
}

output "athena_table" {
  description = "What queries select from"
  value       = "${aws_glue_catalog_database.archive.name}.${aws_glue_catalog_table.lines.name}"
}
