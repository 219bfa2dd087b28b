# What infra/alibaba creates and refuses. tests/infra/modules.py runs it with a provider of our own.

variables {
  package = "function.zip"
  bucket  = "archive"
}

run "by_default_there_is_no_sweep_and_no_alarm" {
  assert {
    condition     = length(alicloud_fcv3_trigger.sweep) == 0
    error_message = "There is a sweep without regions."
  }
  assert {
    condition     = length(alicloud_fcv3_trigger.redrive) == 0 && length(alicloud_ram_policy.function_redrive) == 0
    error_message = "There is a redrive that nobody asked for, or its permissions."
  }
  assert {
    condition     = length(alicloud_fcv3_trigger.compaction) == 0 && length(alicloud_ram_policy.function_compaction) == 0
    error_message = "There is a compaction that nobody asked for, or its permissions."
  }
  assert {
    condition     = length(alicloud_cms_alarm.archiver) == 0
    error_message = "There is an alarm that nobody gets."
  }
  assert {
    condition     = !contains(keys(alicloud_fcv3_function.archiver.environment_variables), "ALIBABA_CLOUD_ROLE_ARN")
    error_message = "The function assumes a role without one."
  }
  assert {
    condition     = !strcontains(alicloud_ram_policy.archiver.policy_document, "sts:AssumeRole")
    error_message = "The function may assume roles that it does not need."
  }
}

run "defaults_are_those_that_the_page_says" {
  assert {
    condition     = alicloud_fcv3_function.archiver.environment_variables["FOLLOW_SECONDS"] == "300"
    error_message = "A console is not followed for 300 s."
  }
  assert {
    condition     = one(alicloud_oss_bucket.archive[0].lifecycle_rule[0].expiration).days == 365
    error_message = "Records do not expire after 365 days."
  }
  assert {
    condition     = alicloud_log_store.archiver[0].retention_period == 30
    error_message = "Log lines are not removed after 30 days."
  }
  assert {
    condition     = alicloud_oss_bucket.archive[0].redundancy_type == "ZRS" && length(alicloud_oss_bucket.archive[0].versioning) == 0
    error_message = "The bucket is in one zone, or has versions, where OSS ignores the header that protects objects."
  }
  assert {
    condition     = output.archive_url == "oss://archive/console?region=cn-hangzhou" && output.function_name == "ecs-console-archiver"
    error_message = "The names are others."
  }
}

run "the_triggers_are_of_instance_events" {
  assert {
    condition     = toset(keys(alicloud_fcv3_trigger.events)) == toset(["state-changes", "system-events"])
    error_message = "The triggers are others."
  }
  assert {
    condition = alltrue([
      for trigger in alicloud_fcv3_trigger.events :
      one(jsondecode(jsondecode(trigger.trigger_config).eventRuleFilterPattern).source) == "acs.ecs"
    ])
    error_message = "A trigger takes events of other services."
  }
}

run "roles_of_other_accounts_are_assumed" {
  variables {
    account_role_arn = "acs:ram::{account}:role/archiver"
  }
  assert {
    condition     = alicloud_fcv3_function.archiver.environment_variables["ALIBABA_CLOUD_ROLE_ARN"] == "acs:ram::{account}:role/archiver"
    error_message = "The function does not get the role."
  }
  assert {
    condition = contains([
      for statement in jsondecode(alicloud_ram_policy.archiver.policy_document).Statement : statement.Resource
      if statement.Action == "sts:AssumeRole"
    ], "acs:ram::*:role/archiver")
    error_message = "The function may not assume the role of each account."
  }
}

run "a_sweep_goes_through_the_regions_once_a_day" {
  variables {
    sweep_regions = ["cn-hangzhou", "cn-beijing"]
  }
  assert {
    condition     = jsondecode(jsondecode(alicloud_fcv3_trigger.sweep[0].trigger_config).payload) == { sweep = { regions = ["cn-hangzhou", "cn-beijing"] } }
    error_message = "The trigger sends another event."
  }
  assert {
    condition     = jsondecode(alicloud_fcv3_trigger.sweep[0].trigger_config).enable
    error_message = "The trigger is off."
  }
}

run "a_redrive_serves_failed_events_every_six_hours" {
  variables {
    scheduled_redrive = true
  }
  assert {
    condition     = jsondecode(jsondecode(alicloud_fcv3_trigger.redrive[0].trigger_config).payload) == { redrive = {} }
    error_message = "The trigger sends another event."
  }
  assert {
    condition     = jsondecode(alicloud_fcv3_trigger.redrive[0].trigger_config).enable && jsondecode(alicloud_fcv3_trigger.redrive[0].trigger_config).cronExpression == "@every 6h"
    error_message = "The trigger is off, or another one."
  }
  assert {
    condition     = one(alicloud_ram_role_policy_attachment.function_redrive).role_name == alicloud_ram_role.archiver.role_name
    error_message = "The function may not take failed events."
  }
}

run "a_compaction_joins_the_catalog_once_a_day_when_the_day_before_is_over" {
  variables {
    scheduled_compaction = true
  }
  assert {
    condition     = jsondecode(jsondecode(alicloud_fcv3_trigger.compaction[0].trigger_config).payload) == { compact = {} }
    error_message = "The trigger sends another event."
  }
  assert {
    condition     = jsondecode(alicloud_fcv3_trigger.compaction[0].trigger_config).enable && jsondecode(alicloud_fcv3_trigger.compaction[0].trigger_config).cronExpression == "0 0 2 * * *"
    error_message = "The trigger is off, or another one."
  }
  assert {
    condition     = one(alicloud_ram_role_policy_attachment.function_compaction).role_name == alicloud_ram_role.archiver.role_name
    error_message = "The function may not join the catalog."
  }
}

run "people_are_told_of_findings_where_that_is_asked_for" {
  variables {
    notify_urls     = "slack+https://hooks.slack.com/services/T0/B0/a"
    notify_severity = "fatal"
  }
  assert {
    condition     = nonsensitive(alicloud_fcv3_function.archiver.environment_variables).NOTIFY_URLS == "slack+https://hooks.slack.com/services/T0/B0/a"
    error_message = "The function tells others."
  }
  assert {
    condition     = one(alicloud_ram_role_policy_attachment.function_notices).role_name == alicloud_ram_role.archiver.role_name
    error_message = "The function may not remember what it has told."
  }
}

run "what_is_no_severity_is_refused" {
  command = plan
  variables {
    notify_severity = "critical"
  }
  expect_failures = [var.notify_severity]
}

run "alarms_go_to_the_contact_group" {
  variables {
    alarm_contact_group = "oncall"
  }
  assert {
    condition     = length(alicloud_cms_alarm.archiver) >= 2 && alltrue([for alarm in alicloud_cms_alarm.archiver : one(alarm.contact_groups) == "oncall"])
    error_message = "An alarm goes nowhere."
  }
}

run "an_address_gets_the_alarms_by_a_group_of_its_own" {
  variables {
    alarm_email = "oncall@example.com"
  }
  assert {
    condition     = alicloud_cms_alarm_contact.alarms[0].channels_mail == "oncall@example.com"
    error_message = "Alarms go elsewhere."
  }
  assert {
    condition     = toset([for alarm in alicloud_cms_alarm.archiver : one(alarm.contact_groups)]) == toset([alicloud_cms_alarm_contact_group.alarms[0].alarm_contact_group_name])
    error_message = "An alarm goes to another group."
  }
}

run "alarms_come_after_one_minute_and_again_after_an_hour" {
  variables {
    alarm_contact_group = "oncall"
  }
  assert {
    condition     = toset(keys(alicloud_cms_alarm.archiver)) == toset(["dropped", "errors", "failed"])
    error_message = "The alarms are others."
  }
  assert {
    condition = alltrue([
      for alarm in alicloud_cms_alarm.archiver : alarm.silence_time == 3600 && one(alarm.escalations_critical).times == 1
    ])
    error_message = "An alarm waits for a second minute, or is silent for longer than an hour."
  }
  assert {
    condition     = one(alicloud_cms_alarm.archiver["errors"].escalations_critical).statistics == "Value"
    error_message = "The statistic is not the one that CloudMonitor's page names."
  }
}

run "what_fails_for_good_goes_to_a_queue_that_the_function_may_send_to" {
  assert {
    condition     = one(one(alicloud_fcv3_async_invoke_config.archiver.destination_config).on_failure).destination == "acs:mns:cn-hangzhou:1234567890123456:/queues/ecs-console-archiver-failed/messages"
    error_message = "What fails for good goes elsewhere."
  }
  assert {
    condition = contains([
      for statement in jsondecode(alicloud_ram_policy.archiver.policy_document).Statement : statement.Resource
      if statement.Action == "mns:SendMessage"
    ], one(one(alicloud_fcv3_async_invoke_config.archiver.destination_config).on_failure).destination)
    error_message = "The function may not send to its queue."
  }
  assert {
    condition     = alicloud_message_service_queue.failed.message_retention_period == 604800 && alicloud_fcv3_async_invoke_config.archiver.max_async_event_age_in_seconds == 21600
    error_message = "Failed events are lost earlier."
  }
  assert {
    condition     = length(alicloud_fcv3_trigger.queues) == 0
    error_message = "The function serves its queue although nobody asked for it."
  }
}

run "a_replay_serves_the_queue_synchronously" {
  variables {
    replay_queue = true
  }
  assert {
    condition     = !jsondecode(alicloud_fcv3_trigger.queues["failed"].trigger_config).asyncInvocationType
    error_message = "What fails again comes back to the queue, for ever."
  }
  assert {
    condition     = jsondecode(alicloud_fcv3_trigger.queues["failed"].trigger_config).eventSourceConfig.eventSourceParameters.sourceMNSParameters.QueueName == alicloud_message_service_queue.failed.queue_name
    error_message = "Another queue is served."
  }
}

run "events_of_other_regions_come_by_the_bus_and_its_queue" {
  variables {
    central_bus = true
  }
  assert {
    condition     = alicloud_event_bridge_rule.central[0].event_bus_name == output.central_bus.name && output.central_bus.region == "cn-hangzhou"
    error_message = "The rule is on another bus than the one that events go to."
  }
  assert {
    condition = (
      one([for parameter in alicloud_event_bridge_rule.central[0].targets[0].param_list : parameter.value if parameter.resource_key == "queue"])
      == jsondecode(alicloud_fcv3_trigger.queues["central"].trigger_config).eventSourceConfig.eventSourceParameters.sourceMNSParameters.QueueName
    )
    error_message = "The function takes events from another queue."
  }
  assert {
    condition     = one([for parameter in alicloud_event_bridge_rule.central[0].targets[0].param_list : parameter.form if parameter.resource_key == "Body"]) == "ORIGINAL"
    error_message = "Events lose their envelope."
  }
  assert {
    condition     = jsondecode(alicloud_fcv3_trigger.queues["central"].trigger_config).asyncInvocationType
    error_message = "What fails is not tried again, and does not reach the queue of failed invocations."
  }
}

run "by_default_there_is_no_bus" {
  assert {
    condition     = length(alicloud_event_bridge_event_bus.central) + length(alicloud_message_service_queue.events) == 0 && output.central_bus.name == null
    error_message = "There is a bus that nobody asked for."
  }
}

run "the_function_runs_where_every_region_has_the_runtime" {
  assert {
    condition     = alicloud_fcv3_function.archiver.runtime == "custom.debian10"
    error_message = "The runtime is not general."
  }
}

run "each_policy_makes_room_for_its_next_version" {
  variables {
    kms_key_id        = "key-hzz62f1cb66fa42qo"
    vpc_id            = "vpc-bp1aevy8sofi8mh1q"
    vswitch_ids       = ["vsw-bp1cnzvbfq"]
    security_group_id = "sg-bp1aevy8sof"
  }
  assert {
    condition = alltrue([
      for policy in [
        alicloud_ram_policy.archiver, alicloud_ram_policy.reader, alicloud_ram_policy.redrive,
        alicloud_ram_policy.key[0], alicloud_ram_policy.network[0],
      ] : policy.rotate_strategy == "DeleteOldestNonDefaultVersionWhenLimitExceeded"
    ])
    error_message = "The sixth change of a policy fails."
  }
  assert {
    condition     = one(alicloud_oss_bucket.archive[0].server_side_encryption_rule).kms_master_key_id == "key-hzz62f1cb66fa42qo"
    error_message = "The bucket encrypts with another key."
  }
  assert {
    condition     = one(alicloud_fcv3_function.archiver.vpc_config).security_group_id == "sg-bp1aevy8sof"
    error_message = "The function is in no VPC."
  }
}

run "without_the_internet_the_function_asks_addresses_of_the_vpc" {
  variables {
    internet_access   = false
    vpc_id            = "vpc-bp1aevy8sofi8mh1q"
    vswitch_ids       = ["vsw-bp1cnzvbfq"]
    security_group_id = "sg-bp1aevy8sof"
  }
  assert {
    condition     = alicloud_fcv3_function.archiver.environment_variables["ECS_ENDPOINT_URL"] == "https://ecs-vpc.{region}.aliyuncs.com"
    error_message = "The function asks an address that it does not reach."
  }
  assert {
    condition     = !alicloud_fcv3_function.archiver.internet_access
    error_message = "The function reaches the internet."
  }
}

run "a_bucket_and_a_log_that_exist_are_not_touched" {
  variables {
    create_bucket        = false
    existing_log_project = "logs"
    existing_log_store   = "consoles"
  }
  assert {
    condition     = length(alicloud_oss_bucket.archive) + length(alicloud_oss_bucket_policy.archive) + length(alicloud_oss_bucket_public_access_block.archive) == 0
    error_message = "The bucket is changed."
  }
  assert {
    condition     = length(alicloud_log_project.archiver) + length(alicloud_log_store.archiver) + length(alicloud_log_store_index.archiver) + length(alicloud_log_dashboard.archiver) == 0
    error_message = "The log is changed."
  }
  assert {
    condition     = alicloud_fcv3_function.archiver.log_config[0].project == "logs" && alicloud_fcv3_function.archiver.log_config[0].logstore == "consoles"
    error_message = "The log goes elsewhere."
  }
  assert {
    condition     = strcontains(alicloud_ram_policy.archiver.policy_document, "project/logs/logstore/consoles")
    error_message = "The function may not write its log."
  }
  assert {
    condition     = output.archive_url == "oss://archive/console?region=cn-hangzhou"
    error_message = "The archive is another one."
  }
}

run "the_heartbeat_asks_the_log_for_events_of_so_many_days" {
  variables {
    heartbeat_days          = 7
    heartbeat_action_policy = "oncall"
  }
  assert {
    condition     = alicloud_sls_alert.heartbeat[0].configuration[0].query_list[0].start == "-7d"
    error_message = "The alert looks at another time."
  }
  assert {
    condition     = alicloud_sls_alert.heartbeat[0].configuration[0].policy_configuration[0].action_policy_id == "oncall"
    error_message = "Nobody is told."
  }
}

run "the_alert_on_logins_is_about_a_share_of_enough_boots" {
  variables {
    findings_action_policy     = "oncall"
    logins_not_reached_percent = 20
    logins_not_reached_minimum = 5
  }
  assert {
    condition     = one(alicloud_sls_alert.logins[0].configuration[0].severity_configurations).eval_condition[0].condition == "boots >= 5 && missed * 100 > boots * 20"
    error_message = "It goes off at another share."
  }
  assert {
    condition     = alicloud_sls_alert.logins[0].configuration[0].policy_configuration[0].action_policy_id == "oncall"
    error_message = "Nobody is told."
  }
}

run "there_is_no_alert_on_logins_by_default" {
  variables {
    findings_action_policy = "oncall"
  }
  assert {
    condition     = length(alicloud_sls_alert.logins) == 0
    error_message = "There is an alert that a fleet without prompts would raise."
  }
}

run "the_dashboard_has_four_charts_of_the_functions_log" {
  assert {
    condition     = [for chart in jsondecode(alicloud_log_dashboard.archiver[0].char_list) : chart.search.logstore] == ["function", "function", "function", "function"]
    error_message = "The charts are others."
  }
}

# What is refused.

run "another_region_than_the_providers_is_refused" {
  command = plan
  variables {
    region = "cn-beijing"
  }
  expect_failures = [data.alicloud_regions.current]
}

run "a_name_of_41_characters_is_refused" {
  command = plan
  variables {
    name = "a23456789a123456789a123456789a123456789a1"
  }
  expect_failures = [var.name]
}

run "a_name_that_begins_with_a_digit_is_refused" {
  command = plan
  variables {
    name = "1archiver"
  }
  expect_failures = [var.name]
}

run "a_bucket_with_a_dot_is_refused" {
  command = plan
  variables {
    bucket = "archive.example"
  }
  expect_failures = [var.bucket]
}

run "a_redundancy_that_oss_has_not_is_refused" {
  command = plan
  variables {
    redundancy = "GRS"
  }
  expect_failures = [var.redundancy]
}

run "records_for_less_than_30_days_are_refused" {
  command = plan
  variables {
    retention_days = 29
  }
  expect_failures = [var.retention_days]
}

run "records_for_half_a_day_more_are_refused" {
  command = plan
  variables {
    retention_days = 30.5
  }
  expect_failures = [var.retention_days]
}

run "another_word_for_what_becomes_of_secrets_is_refused" {
  command = plan
  variables {
    redact = "mask"
  }
  expect_failures = [var.redact]
}

run "another_word_for_when_screenshots_are_taken_is_refused" {
  command = plan
  variables {
    screenshots = "on"
  }
  expect_failures = [var.screenshots]
}

run "following_for_more_than_an_hour_is_refused" {
  command = plan
  variables {
    follow_seconds = 3601
  }
  expect_failures = [var.follow_seconds]
}

run "a_role_of_aws_is_refused" {
  command = plan
  variables {
    account_role_arn = "arn:aws:iam::123456789012:role/archiver"
  }
  expect_failures = [var.account_role_arn]
}

run "regions_in_one_word_are_refused" {
  command = plan
  variables {
    sweep_regions = ["cn-hangzhou,cn-beijing"]
  }
  expect_failures = [var.sweep_regions]
}

run "logs_for_more_than_ten_years_are_refused" {
  command = plan
  variables {
    log_retention_days = 3651
  }
  expect_failures = [var.log_retention_days]
}

run "the_arn_of_a_key_is_refused" {
  command = plan
  variables {
    kms_key_id = "acs:kms:cn-hangzhou:123456:key/key-hzz62f1cb66fa42qo"
  }
  expect_failures = [var.kms_key_id]
}

run "a_name_as_an_address_is_refused" {
  command = plan
  variables {
    alarm_email = "oncall"
  }
  expect_failures = [var.alarm_email]
}

run "a_statistic_that_cloudmonitor_has_not_is_refused" {
  command = plan
  variables {
    alarm_statistics = "Mean"
  }
  expect_failures = [var.alarm_statistics]
}

run "a_heartbeat_of_31_days_is_refused" {
  command = plan
  variables {
    heartbeat_days = 31
  }
  expect_failures = [var.heartbeat_days]
}

run "a_share_of_boots_without_a_login_is_a_whole_number_below_100" {
  command = plan
  variables {
    logins_not_reached_percent = 100
    logins_not_reached_minimum = 0
  }
  expect_failures = [var.logins_not_reached_percent, var.logins_not_reached_minimum]
}
