output "region" {
  description = "Region of the rules"
  value       = module.rules.region
}

output "rule_names" {
  description = "Names of the rules on the default bus of this region"
  value       = module.rules.rule_names
}

output "role_arn" {
  description = "The role, for AlibabaRoleArn or alibaba_role_arn of infra/aws"
  value       = one(alicloud_ram_role.aws[*].arn)
}

output "oidc_provider_arn" {
  description = "The OIDC provider, for AlibabaOidcProviderArn or alibaba_oidc_provider_arn of infra/aws"
  value       = one(local.provider_arns)
}

output "oidc_audience" {
  description = "The client ID, for AlibabaOidcAudience or alibaba_oidc_audience of infra/aws"
  value       = var.aws_audience
}
