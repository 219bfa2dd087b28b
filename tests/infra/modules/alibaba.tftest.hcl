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
    condition     = one(alicloud_oss_bucket.archive.lifecycle_rule[0].expiration).days == 365
    error_message = "Records do not expire after 365 days."
  }
  assert {
    condition     = alicloud_log_store.archiver.retention_period == 30
    error_message = "Log lines are not removed after 30 days."
  }
  assert {
    condition     = alicloud_oss_bucket.archive.redundancy_type == "ZRS" && length(alicloud_oss_bucket.archive.versioning) == 0
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

run "alarms_go_to_the_contact_group" {
  variables {
    alarm_contact_group = "oncall"
  }
  assert {
    condition     = length(alicloud_cms_alarm.archiver) >= 2 && alltrue([for alarm in alicloud_cms_alarm.archiver : one(alarm.contact_groups) == "oncall"])
    error_message = "An alarm goes nowhere."
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
