output "region" {
  description = "Region of the rules"
  value       = data.alicloud_regions.current.regions[0].id
}

output "rule_names" {
  description = "Names of the rules on the default bus of this region"
  value       = [for rule in alicloud_event_bridge_rule.rule : rule.rule_name]
}
