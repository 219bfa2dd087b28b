output "function_name" {
  description = "Name of the function, to invoke it"
  value       = alicloud_fcv3_function.archiver.function_name
}

output "archive_url" {
  description = "The archive, for ARCHIVE_URL of console-archive"
  value       = "oss://${var.bucket}/console?region=${local.region}"
}

output "role_arn" {
  description = "Role of the function"
  value       = alicloud_ram_role.archiver.arn
}

output "log_project" {
  description = "Project of the log"
  value       = local.log_project
}

output "log_store" {
  description = "Logstore of the log"
  value       = local.log_store
}

output "failed_queue_name" {
  description = "Queue of the invocations that failed for good"
  value       = alicloud_message_service_queue.failed.queue_name
}

output "archiver_policy_name" {
  description = "Policy of the function. People who replay failed events need it too"
  value       = alicloud_ram_policy.archiver.policy_name
}

output "reader_policy_name" {
  description = "Policy for people who read the archive"
  value       = alicloud_ram_policy.reader.policy_name
}

output "redrive_policy_name" {
  description = "Policy for people who replay failed events, together with the function's and the reader's"
  value       = alicloud_ram_policy.redrive.policy_name
}

output "central_bus" {
  description = "Bus for the events of other regions: its region, account and name. The name is null without central_bus"
  value       = local.bus
}
