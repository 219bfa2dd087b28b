output "function_name" {
  description = "The function to invoke"
  value       = alicloud_fcv3_function.archiver.function_name
}

output "archive_url" {
  description = "What console-archive takes as ARCHIVE_URL"
  value       = "oss://${alicloud_oss_bucket.archive.bucket}/console?region=${local.region}"
}

output "role_arn" {
  description = "Role of the function"
  value       = alicloud_ram_role.archiver.arn
}

output "log_project" {
  description = "Project of the log; its logstore is called function"
  value       = alicloud_log_project.archiver.project_name
}

output "archiver_policy_name" {
  description = "Policy of the function; who serves failed events again needs it, too"
  value       = alicloud_ram_policy.archiver.policy_name
}

output "reader_policy_name" {
  description = "Policy for those who read the archive"
  value       = alicloud_ram_policy.reader.policy_name
}

output "redrive_policy_name" {
  description = "Policy for those who serve failed events again, with the function's and the reader's"
  value       = alicloud_ram_policy.redrive.policy_name
}
