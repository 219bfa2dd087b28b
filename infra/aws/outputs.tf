output "region" {
  description = "Region of the deployment, for AWS_REGION"
  value       = data.aws_region.current.region
}

output "function_name" {
  description = "Name of the function, for aws lambda invoke --function-name"
  value       = aws_lambda_function.archiver.function_name
}

output "function_role_arn" {
  description = "Role of the function, for aws_role_arn of infra/push. The RAM role trusts its tokens"
  value       = aws_iam_role.archiver.arn
}

output "archive_url" {
  description = "The archive, for ARCHIVE_URL of console-archive"
  value       = local.archive_url
}

output "events_url" {
  description = "Queue that other services can send events to"
  value       = aws_sqs_queue.events.url
}

output "failed_events_url" {
  description = "Queue of failed events, for --queue-url of console-archive redrive"
  value       = aws_sqs_queue.failed_events.url
}

output "alarm_topic_arn" {
  description = "Topic that gets the alarms"
  value       = local.alarm_topic_arn
}

output "reader_policy_arn" {
  description = "Policy for people who read the archive"
  value       = aws_iam_policy.reader.arn
}

output "redrive_policy_arn" {
  description = "Policy for people who replay failed events"
  value       = aws_iam_policy.redrive.arn
}

output "webhook_url" {
  description = "Address of the function, for url of infra/push. EventBridge sends events to it; null without a token"
  value       = one(aws_lambda_function_url.archiver[*].function_url)
}

output "athena_table" {
  description = "Table for queries in Athena"
  value       = "${aws_glue_catalog_database.archive.name}.${aws_glue_catalog_table.lines.name}"
}

output "catalog_table" {
  description = "Table of the catalog for queries in Athena; null without catalog_table"
  value       = one([for table in aws_glue_catalog_table.catalog : "${table.database_name}.${table.name}"])
}
