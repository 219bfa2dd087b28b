output "rule_names" {
  description = "Rules on the default bus of this region"
  value       = [for rule in alicloud_event_bridge_rule.push : rule.rule_name]
}

output "role_arn" {
  description = "What the AWS stack takes as AlibabaRoleArn"
  value       = one(alicloud_ram_role.aws[*].arn)
}

output "oidc_provider_arn" {
  description = "What the AWS stack takes as AlibabaOidcProviderArn"
  value       = one(local.provider_arns)
}

output "oidc_audience" {
  description = "What the AWS stack takes as AlibabaOidcAudience"
  value       = var.aws_audience
}
