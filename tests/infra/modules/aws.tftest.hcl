# What infra/aws creates and refuses. `terraform test` would create it all in the account of whoever runs
# it, so these tests are not beside the module: tests/infra/modules.py runs them with a provider of our own.

variables {
  package                   = "function.zip"
  alibaba_role_arn          = "acs:ram::123456:role/archiver"
  alibaba_oidc_provider_arn = "acs:ram::123456:oidc-provider/archiver"
}

run "by_default_there_is_no_url_no_sweep_and_no_lock" {
  assert {
    condition     = output.webhook_url == null && length(aws_lambda_permission.url) == 0
    error_message = "The function has a URL without a token."
  }
  assert {
    condition     = length(aws_scheduler_schedule.sweep) == 0 && length(aws_iam_role.sweep) == 0
    error_message = "There is a sweep without regions."
  }
  assert {
    condition     = length(aws_scheduler_schedule.redrive) == 0 && length(aws_iam_role.redrive) == 0
    error_message = "There is a redrive that nobody asked for."
  }
  assert {
    condition     = length(aws_scheduler_schedule.compaction) == 0 && length(aws_iam_role.compaction) == 0
    error_message = "There is a compaction that nobody asked for."
  }
  assert {
    condition     = !strcontains(aws_iam_role_policy.archiver.policy, "s3:DeleteObject")
    error_message = "The function may remove objects, and has no reason to."
  }
  assert {
    condition     = !contains(keys(aws_lambda_function.archiver.environment[0].variables), "FAILED_QUEUE_URL")
    error_message = "The function knows a queue that it may not read."
  }
  assert {
    condition     = !aws_s3_bucket.archive[0].object_lock_enabled && length(aws_s3_bucket_object_lock_configuration.archive) == 0
    error_message = "Records are locked for 0 days."
  }
  assert {
    condition     = aws_lambda_function.archiver.reserved_concurrent_executions == -1
    error_message = "Concurrency is reserved, and new accounts have none to reserve."
  }
  assert {
    condition     = !contains(keys(aws_cloudwatch_metric_alarm.archiver), "pushes")
    error_message = "There is an alarm of a URL that is not there."
  }
}

run "defaults_are_those_that_the_page_says" {
  assert {
    condition     = aws_lambda_function.archiver.environment[0].variables["FOLLOW_SECONDS"] == "300"
    error_message = "A console is not followed for 300 s."
  }
  assert {
    condition     = one([for rule in aws_s3_bucket_lifecycle_configuration.archive[0].rule : rule.expiration[0].days if rule.id == "Records"]) == 365
    error_message = "Records do not expire after 365 days."
  }
  assert {
    condition     = aws_cloudwatch_log_group.archiver.retention_in_days == 30
    error_message = "Log lines are not removed after 30 days."
  }
  assert {
    condition     = one(aws_lambda_function.archiver.architectures) == "x86_64"
    error_message = "The architecture is another one."
  }
  assert {
    condition     = output.function_name == "ecs-console-archiver" && output.athena_table == "ecs_console_archiver.lines"
    error_message = "The names are others."
  }
}

run "a_role_is_assumed_without_a_key" {
  assert {
    condition = alltrue([
      aws_lambda_function.archiver.environment[0].variables["ALIBABA_CLOUD_ROLE_ARN"] == "acs:ram::123456:role/archiver",
      aws_lambda_function.archiver.environment[0].variables["ALIBABA_CLOUD_OIDC_PROVIDER_ARN"] == "acs:ram::123456:oidc-provider/archiver",
      aws_lambda_function.archiver.environment[0].variables["ALIBABA_CLOUD_OIDC_TOKEN_AUDIENCE"] == "sts.aliyuncs.com",
    ])
    error_message = "The function does not get the role."
  }
  assert {
    condition     = length([for name in keys(aws_lambda_function.archiver.environment[0].variables) : name if can(regex("ACCESS_KEY", name))]) == 0
    error_message = "The function gets an access key."
  }
  assert {
    condition     = strcontains(aws_iam_role_policy.archiver.policy, "sts:GetWebIdentityToken")
    error_message = "The function may not ask for the token that the role trusts."
  }
}

run "a_key_is_used_without_a_role" {
  variables {
    alibaba_role_arn          = null
    alibaba_oidc_provider_arn = null
    alibaba_access_key_id     = "LTAI"
    alibaba_access_key_secret = "secret"
  }
  assert {
    condition = alltrue([
      aws_lambda_function.archiver.environment[0].variables["ALIBABA_CLOUD_ACCESS_KEY_ID"] == "LTAI",
      aws_lambda_function.archiver.environment[0].variables["ALIBABA_CLOUD_ACCESS_KEY_SECRET"] == "secret",
    ])
    error_message = "The function does not get the key."
  }
  assert {
    condition     = length([for name in keys(aws_lambda_function.archiver.environment[0].variables) : name if can(regex("ROLE|OIDC", name))]) == 0
    error_message = "The function gets a role, too."
  }
  assert {
    condition     = !strcontains(aws_iam_role_policy.archiver.policy, "sts:GetWebIdentityToken")
    error_message = "The function may ask for tokens that it does not need."
  }
}

run "a_key_that_a_secrets_manager_keeps_is_read_and_nothing_else" {
  variables {
    alibaba_role_arn          = null
    alibaba_oidc_provider_arn = null
    alibaba_access_key_arn    = "arn:aws:ssm:us-east-1:123456789012:parameter/archiver/key#ecs"
  }
  assert {
    condition     = [for name, value in aws_lambda_function.archiver.environment[0].variables : value if can(regex("ACCESS_KEY|ROLE|OIDC", name))] == [var.alibaba_access_key_arn]
    error_message = "The function gets another key or a role."
  }
  assert {
    condition = [for one in jsondecode(aws_iam_role_policy.archiver.policy).Statement : one if can(regex("GetParameter", jsonencode(one.Action)))] == [{
      Effect   = "Allow"
      Action   = ["secretsmanager:GetSecretValue", "ssm:GetParameter"]
      Resource = ["arn:aws:ssm:us-east-1:123456789012:parameter/archiver/key"]
    }]
    error_message = "The function may not read that secret, or reads others."
  }
  assert {
    condition     = !strcontains(aws_iam_role_policy.archiver.policy, "kms:")
    error_message = "The function may use a key that nobody named."
  }
  assert {
    condition     = output.webhook_url == null
    error_message = "The function has a URL without a token."
  }
}

run "with_a_token_that_a_secrets_manager_keeps_the_function_has_a_url_and_no_token" {
  variables {
    webhook_token_arn   = "arn:aws:secretsmanager:us-east-1:123456789012:secret:archiver-a1B2c3#token"
    secrets_kms_key_arn = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
  }
  assert {
    condition     = can(regex("^https://", output.webhook_url)) && contains(keys(aws_cloudwatch_metric_alarm.archiver), "pushes")
    error_message = "There is no URL, or no alarm of its answers."
  }
  assert {
    condition     = [for name, value in aws_lambda_function.archiver.environment[0].variables : value if can(regex("TOKEN", name)) && name != "ALIBABA_CLOUD_OIDC_TOKEN_AUDIENCE"] == [var.webhook_token_arn]
    error_message = "The function does not know the secret, or a token as well."
  }
  assert {
    condition     = strcontains(aws_iam_role_policy.archiver.policy, "\"arn:aws:secretsmanager:us-east-1:123456789012:secret:archiver-a1B2c3\"")
    error_message = "The function may not read the secret."
  }
  assert {
    condition = [for one in jsondecode(aws_iam_role_policy.archiver.policy).Statement : one.Condition.StringEquals["kms:ViaService"] if one.Resource == var.secrets_kms_key_arn] == [
      ["secretsmanager.us-east-1.amazonaws.com", "ssm.us-east-1.amazonaws.com"]
    ]
    error_message = "The function may not decrypt the secret, or may decrypt more."
  }
}

run "with_a_token_the_function_has_a_url_and_an_alarm_of_its_answers" {
  variables {
    webhook_token = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
  }
  assert {
    condition     = can(regex("^https://", output.webhook_url))
    error_message = "There is no URL."
  }
  assert {
    condition     = aws_lambda_function.archiver.environment[0].variables["WEBHOOK_TOKEN"] == var.webhook_token
    error_message = "The function does not know the token."
  }
  assert {
    condition     = aws_lambda_permission.url[0].action == "lambda:InvokeFunctionUrl" && aws_lambda_permission.url_invoke[0].invoked_via_function_url
    error_message = "Nobody may call the URL, or everybody the function itself."
  }
  assert {
    condition     = contains(keys(aws_cloudwatch_metric_alarm.archiver), "pushes")
    error_message = "There is no alarm of the URL's answers."
  }
}

run "a_sweep_goes_through_the_regions_once_a_day" {
  variables {
    sweep_regions = ["cn-hangzhou", "cn-beijing"]
  }
  assert {
    condition     = jsondecode(aws_scheduler_schedule.sweep[0].target[0].input) == { sweep = { regions = ["cn-hangzhou", "cn-beijing"] } }
    error_message = "The schedule sends another event."
  }
  assert {
    condition     = aws_scheduler_schedule.sweep[0].schedule_expression == "rate(1 day)" && aws_scheduler_schedule.sweep[0].target[0].role_arn == aws_iam_role.sweep[0].arn
    error_message = "The schedule is another one, or has another role."
  }
}

run "a_redrive_serves_the_queue_of_failed_events_every_six_hours" {
  variables {
    scheduled_redrive = true
  }
  assert {
    condition     = jsondecode(aws_scheduler_schedule.redrive[0].target[0].input) == { redrive = { max_attempts = 15 } }
    error_message = "The schedule sends another event."
  }
  assert {
    condition     = aws_scheduler_schedule.redrive[0].schedule_expression == "rate(6 hours)" && aws_scheduler_schedule.redrive[0].target[0].role_arn == aws_iam_role.redrive[0].arn
    error_message = "The schedule is another one, or has another role."
  }
  assert {
    condition     = aws_lambda_function.archiver.environment[0].variables.FAILED_QUEUE_URL == aws_sqs_queue.failed_events.url
    error_message = "The function serves another queue."
  }
}

run "a_compaction_joins_the_catalog_once_a_day_when_the_day_before_is_over" {
  variables {
    scheduled_compaction = true
  }
  assert {
    condition     = jsondecode(aws_scheduler_schedule.compaction[0].target[0].input) == { compact = {} }
    error_message = "The schedule sends another event."
  }
  assert {
    condition     = aws_scheduler_schedule.compaction[0].schedule_expression == "cron(0 2 * * ? *)" && aws_scheduler_schedule.compaction[0].target[0].role_arn == aws_iam_role.compaction[0].arn
    error_message = "The schedule is another one, or has another role."
  }
  assert {
    condition     = [for one in jsondecode(aws_iam_role_policy.archiver.policy).Statement : one.Resource if can(regex("DeleteObject", jsonencode(one.Action)))] == ["arn:aws:s3:::${aws_s3_bucket.archive[0].bucket}/console/catalog/*"]
    error_message = "The function may not remove rows, or may remove records."
  }
}

run "people_are_told_of_findings_where_that_is_asked_for" {
  variables {
    notify_topic_arn = "arn:aws:sns:us-east-1:123456789012:faults"
    notify_urls_arn  = "arn:aws:ssm:us-east-1:123456789012:parameter/archiver/urls#urls"
    notify_severity  = "fatal"
  }
  assert {
    condition     = { for name, value in aws_lambda_function.archiver.environment[0].variables : name => value if startswith(name, "NOTIFY_") } == { NOTIFY_URLS = var.notify_topic_arn, NOTIFY_URLS_ARN = var.notify_urls_arn, NOTIFY_SEVERITY = "fatal" }
    error_message = "The function tells others."
  }
  assert {
    condition     = [for one in jsondecode(aws_iam_role_policy.archiver.policy).Statement : one.Resource if one.Action == "sns:Publish"] == [var.notify_topic_arn]
    error_message = "The function may not tell the topic, or may tell others."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.archiver["new-signatures"].metric_name == "NewSignatures" && aws_cloudwatch_metric_alarm.archiver["notices"].metric_name == "NoticesFailed"
    error_message = "There is no alarm on new signatures, or none on notices."
  }
}

run "by_default_nobody_is_told" {
  assert {
    condition     = length([for name in keys(aws_lambda_function.archiver.environment[0].variables) : name if startswith(name, "NOTIFY_")]) == 0
    error_message = "The function tells somebody."
  }
  assert {
    condition     = !contains(keys(aws_cloudwatch_metric_alarm.archiver), "new-signatures")
    error_message = "There is an alarm on what nobody counts."
  }
}

run "what_is_no_topic_and_no_severity_is_refused" {
  command = plan
  variables {
    notify_topic_arn = "arn:aws:sqs:us-east-1:123456789012:faults"
    notify_urls_arn  = "https://hooks.slack.com/services/T0/B0/a"
    notify_severity  = "critical"
  }
  expect_failures = [var.notify_topic_arn, var.notify_urls_arn, var.notify_severity]
}

run "by_default_there_is_no_table_of_the_catalog" {
  assert {
    condition     = output.catalog_table == null && length(aws_glue_catalog_table.catalog) == 0 && length(aws_athena_named_query.catalog) == 0
    error_message = "There is a table that nobody asked for, or a query."
  }
}

run "a_day_of_the_catalog_is_a_partition_that_nobody_has_to_add" {
  variables {
    catalog_table = true
  }
  assert {
    condition     = output.catalog_table == "ecs_console_archiver.catalog_rows"
    error_message = "The table has another name."
  }
  assert {
    condition     = aws_glue_catalog_table.catalog[0].parameters["storage.location.template"] == "s3://${aws_s3_bucket.archive[0].bucket}/console/catalog/days/dt=$${dt}/"
    error_message = "The days are elsewhere."
  }
  assert {
    condition     = aws_glue_catalog_table.catalog[0].partition_keys[0].name == "dt" && aws_glue_catalog_table.catalog[0].parameters["projection.dt.type"] == "date"
    error_message = "Athena cannot make up the days."
  }
  assert {
    condition     = length(aws_athena_named_query.catalog) == length(fileset("queries", "*.sql")) && length(aws_athena_named_query.catalog) > 1
    error_message = "A query is missing."
  }
  assert {
    condition     = alltrue([for query in aws_athena_named_query.catalog : query.database == "ecs_console_archiver" && can(regex("^(SELECT|CREATE OR REPLACE VIEW) ", query.query)) && !startswith(query.description, "-")])
    error_message = "A query is in another database, or has its description in it."
  }
}

run "records_are_locked_in_a_versioned_bucket" {
  variables {
    object_lock_days = 30
  }
  assert {
    condition     = aws_s3_bucket.archive[0].object_lock_enabled && aws_s3_bucket_object_lock_configuration.archive[0].rule[0].default_retention[0].days == 30
    error_message = "Records are not locked for 30 days."
  }
  assert {
    condition     = aws_s3_bucket_versioning.archive[0].versioning_configuration[0].status == "Enabled"
    error_message = "The bucket keeps no versions, and S3 locks nothing."
  }
}

run "alarms_go_to_the_topic" {
  variables {
    alarm_topic_arn = "arn:aws:sns:us-east-1:123456789012:alarms"
  }
  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.archiver : one(alarm.alarm_actions) == var.alarm_topic_arn])
    error_message = "An alarm goes nowhere."
  }
  assert {
    condition     = length(aws_sns_topic.alarms) == 0 && output.alarm_topic_arn == var.alarm_topic_arn
    error_message = "There is a second topic."
  }
}

run "lambda_lets_the_function_follow_for_an_hour" {
  assert {
    condition     = aws_lambda_function_recursion_config.archiver.recursive_loop == "Allow"
    error_message = "Lambda would end a chain after 16 invocations."
  }
}

run "without_a_topic_one_is_created_and_gets_every_alarm" {
  assert {
    condition     = length(aws_sns_topic.alarms) == 1 && length(aws_sns_topic_subscription.alarms) == 0
    error_message = "There is no topic of its own, or somebody is subscribed to it."
  }
  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.archiver : length(alarm.alarm_actions) == 1])
    error_message = "An alarm tells nobody."
  }
}

run "an_address_is_subscribed_to_it" {
  variables {
    alarm_email = "operators@example.com"
  }
  assert {
    condition     = aws_sns_topic_subscription.alarms[0].endpoint == "operators@example.com"
    error_message = "The address is not subscribed."
  }
}

run "the_least_reserved_concurrency_is_accepted" {
  variables {
    max_concurrency = 12
  }
  assert {
    condition = aws_lambda_function.archiver.reserved_concurrent_executions >= sum([
      for mapping in aws_lambda_event_source_mapping.queues : mapping.scaling_config[0].maximum_concurrency
    ])
    error_message = "The queues take more than is reserved."
  }
}

run "alarms_on_the_url_need_a_url" {
  assert {
    condition     = !contains(keys(aws_cloudwatch_metric_alarm.archiver), "rejected-requests")
    error_message = "There is an alarm without a URL."
  }
}

run "a_wrong_token_raises_an_alarm" {
  variables {
    webhook_token = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
  }
  assert {
    condition = (
      aws_cloudwatch_metric_alarm.archiver["rejected-requests"].metric_name == "Url4xxCount" &&
      aws_cloudwatch_metric_alarm.archiver["rejected-requests"].statistic == "Sum"
    )
    error_message = "Nothing counts what is rejected."
  }
}

run "there_is_no_alarm_on_logins_by_default" {
  assert {
    condition     = length(aws_cloudwatch_metric_alarm.logins) == 0
    error_message = "There is an alarm that a fleet without prompts would raise."
  }
}

run "an_alarm_on_logins_divides_those_that_were_missed_by_all" {
  variables {
    logins_not_reached_percent = 20
    logins_not_reached_minimum = 5
  }
  assert {
    condition     = { for query in aws_cloudwatch_metric_alarm.logins[0].metric_query : query.id => query.metric[0].metric_name if length(query.metric) == 1 } == { reached = "LoginsReached", missed = "LoginsNotReached" }
    error_message = "It counts other metrics."
  }
  assert {
    condition     = [for query in aws_cloudwatch_metric_alarm.logins[0].metric_query : query.expression if query.return_data == true] == ["IF(reached + missed >= 5, 100 * missed / (reached + missed), 0)"]
    error_message = "It is another share, or of too few boots."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.logins[0].threshold == 20
    error_message = "It goes off at another share."
  }
}

run "there_is_no_heartbeat_by_default" {
  assert {
    condition     = length(aws_cloudwatch_metric_alarm.heartbeat) == 0
    error_message = "There is an alarm that a quiet account would raise."
  }
}

run "a_heartbeat_counts_events_and_no_sweeps" {
  variables {
    heartbeat_days = 3
    webhook_token  = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    sweep_regions  = ["cn-hangzhou"]
  }
  assert {
    condition = toset(flatten([
      for query in aws_cloudwatch_metric_alarm.heartbeat[0].metric_query : query.metric[*].metric_name
    ])) == toset(["NumberOfMessagesSent", "UrlRequestCount", "Url4xxCount"])
    error_message = "It counts other metrics."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.heartbeat[0].treat_missing_data == "breaching"
    error_message = "Nothing at all would be good."
  }
}

run "the_boundary_and_the_path_are_those_of_every_role" {
  variables {
    permissions_boundary_arn = "arn:aws:iam::123456789012:policy/limit"
    role_path                = "/teams/platform/"
    sweep_regions            = ["cn-hangzhou"]
    scheduled_redrive        = true
    scheduled_compaction     = true
  }
  assert {
    condition = alltrue([
      for role in [aws_iam_role.archiver, aws_iam_role.sweep[0], aws_iam_role.redrive[0], aws_iam_role.compaction[0]] :
      role.permissions_boundary == var.permissions_boundary_arn && role.path == var.role_path
    ])
    error_message = "A role goes beyond the boundary, or is elsewhere."
  }
}

run "the_dashboard_shows_the_function_and_its_queues" {
  assert {
    condition = alltrue([
      for name in ["ecs-console-archiver", "ecs-console-archiver-follow", "ecs-console-archiver-failed-events"] :
      strcontains(jsonencode(jsondecode(aws_cloudwatch_dashboard.archiver[0].dashboard_body)), "\"${name}\"")
    ])
    error_message = "It shows others."
  }
}

run "the_program_comes_from_a_bucket" {
  variables {
    package        = null
    package_bucket = "packages"
    package_key    = "function.zip"
  }
  assert {
    condition     = aws_lambda_function.archiver.s3_bucket == "packages" && aws_lambda_function.archiver.filename == null
    error_message = "It comes from elsewhere."
  }
}

run "without_a_key_everything_has_the_services_own" {
  assert {
    condition = alltrue([
      for queue in [aws_sqs_queue.events, aws_sqs_queue.follow, aws_sqs_queue.failed_events] : queue.sqs_managed_sse_enabled
    ])
    error_message = "A queue is not encrypted."
  }
  assert {
    condition     = one([for rule in aws_s3_bucket_server_side_encryption_configuration.archive[0].rule : rule.apply_server_side_encryption_by_default[0].sse_algorithm]) == "AES256"
    error_message = "The archive is not encrypted with S3's own key."
  }
  assert {
    condition = alltrue([
      for policy in [aws_iam_role_policy.archiver.policy, aws_iam_policy.reader.policy, aws_iam_policy.redrive.policy] : !strcontains(policy, "kms:")
    ])
    error_message = "Somebody may use a key."
  }
  assert {
    condition     = !contains(keys(aws_lambda_function.archiver.environment[0].variables), "AWS_SERVER_SIDE_ENCRYPTION")
    error_message = "The function asks for an encryption."
  }
}

run "a_key_encrypts_the_archive_the_queues_the_topic_and_the_log" {
  variables {
    kms_key_arn = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
  }
  assert {
    condition = alltrue([
      for rule in aws_s3_bucket_server_side_encryption_configuration.archive[0].rule :
      rule.apply_server_side_encryption_by_default[0].kms_master_key_id == var.kms_key_arn && rule.apply_server_side_encryption_by_default[0].sse_algorithm == "aws:kms" && rule.bucket_key_enabled
    ])
    error_message = "The archive has another key, or each object is a request to KMS."
  }
  assert {
    condition = alltrue([
      for queue in [aws_sqs_queue.events, aws_sqs_queue.follow, aws_sqs_queue.failed_events] : queue.kms_master_key_id == var.kms_key_arn
    ])
    error_message = "A queue has another key."
  }
  assert {
    condition     = aws_sns_topic.alarms[0].kms_master_key_id == var.kms_key_arn && aws_cloudwatch_log_group.archiver.kms_key_id == var.kms_key_arn
    error_message = "The topic or the log has another key."
  }
  assert {
    condition = alltrue([
      aws_lambda_function.archiver.environment[0].variables["AWS_SERVER_SIDE_ENCRYPTION"] == "aws:kms",
      aws_lambda_function.archiver.environment[0].variables["AWS_SSE_KMS_KEY_ID"] == var.kms_key_arn,
    ])
    error_message = "The function does not ask for the key."
  }
}

run "nothing_of_an_existing_bucket_is_changed" {
  variables {
    existing_bucket = "logs.example"
    kms_key_arn     = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
  }
  assert {
    condition = 0 == sum([
      length(aws_s3_bucket.archive),
      length(aws_s3_bucket_lifecycle_configuration.archive),
      length(aws_s3_bucket_object_lock_configuration.archive),
      length(aws_s3_bucket_ownership_controls.archive),
      length(aws_s3_bucket_policy.archive),
      length(aws_s3_bucket_public_access_block.archive),
      length(aws_s3_bucket_server_side_encryption_configuration.archive),
      length(aws_s3_bucket_versioning.archive),
    ])
    error_message = "Something of the bucket is changed, or another one created."
  }
  assert {
    condition     = output.archive_url == "s3://logs.example/console" && aws_lambda_function.archiver.environment[0].variables["ARCHIVE_URL"] == output.archive_url
    error_message = "The archive is elsewhere."
  }
  assert {
    condition     = startswith(aws_glue_catalog_table.lines.storage_descriptor[0].location, "s3://logs.example/console/")
    error_message = "The table reads another bucket."
  }
  assert {
    condition     = aws_lambda_function.archiver.environment[0].variables["AWS_SSE_KMS_KEY_ID"] == var.kms_key_arn
    error_message = "The function leaves the key to the bucket's default, which may be another one."
  }
}

# What is refused.

run "a_lock_of_an_existing_bucket_is_refused" {
  command = plan
  variables {
    existing_bucket  = "logs"
    object_lock_days = 30
  }
  expect_failures = [aws_lambda_function.archiver]
}

run "an_address_of_a_bucket_is_refused" {
  command = plan
  variables {
    existing_bucket = "s3://logs"
  }
  expect_failures = [var.existing_bucket]
}

run "an_alias_of_a_key_is_refused" {
  command = plan
  variables {
    kms_key_arn = "arn:aws:kms:us-east-1:123456789012:alias/archive"
  }
  expect_failures = [var.kms_key_arn]
}

run "a_role_without_a_provider_is_refused" {
  command = plan
  variables {
    alibaba_oidc_provider_arn = null
  }
  expect_failures = [aws_lambda_function.archiver]
}

run "a_role_and_a_key_are_refused" {
  command = plan
  variables {
    alibaba_access_key_id     = "LTAI"
    alibaba_access_key_secret = "secret"
  }
  expect_failures = [aws_lambda_function.archiver]
}

run "a_key_without_its_secret_is_refused" {
  command = plan
  variables {
    alibaba_role_arn          = null
    alibaba_oidc_provider_arn = null
    alibaba_access_key_id     = "LTAI"
  }
  expect_failures = [aws_lambda_function.archiver]
}

run "another_region_than_the_providers_is_refused" {
  command = plan
  variables {
    region = "eu-west-1"
  }
  expect_failures = [data.aws_region.current]
}

run "a_name_that_is_too_long_for_the_bucket_is_refused" {
  command = plan
  variables {
    name = "a23456789a123456789a123456789a1234567"
  }
  expect_failures = [var.name]
}

run "a_name_in_capitals_is_refused" {
  command = plan
  variables {
    name = "Archiver"
  }
  expect_failures = [var.name]
}

run "an_architecture_that_lambda_has_not_is_refused" {
  command = plan
  variables {
    architecture = "riscv64"
  }
  expect_failures = [var.architecture]
}

run "a_role_of_aws_is_refused" {
  command = plan
  variables {
    alibaba_role_arn = "arn:aws:iam::123456789012:role/archiver"
  }
  expect_failures = [var.alibaba_role_arn]
}

run "a_role_as_provider_is_refused" {
  command = plan
  variables {
    alibaba_oidc_provider_arn = "acs:ram::123456:role/archiver"
  }
  expect_failures = [var.alibaba_oidc_provider_arn]
}

run "an_empty_key_is_refused" {
  command = plan
  variables {
    alibaba_access_key_id     = ""
    alibaba_access_key_secret = ""
  }
  expect_failures = [var.alibaba_access_key_id, var.alibaba_access_key_secret]
}

run "a_short_token_is_refused" {
  command = plan
  variables {
    webhook_token = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
  }
  expect_failures = [var.webhook_token]
}

run "tokens_with_a_space_between_them_are_refused" {
  command = plan
  variables {
    webhook_token = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
  }
  expect_failures = [var.webhook_token]
}

run "a_token_and_its_secret_are_refused" {
  command = plan
  variables {
    webhook_token     = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    webhook_token_arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:archiver-a1B2c3"
  }
  expect_failures = [aws_lambda_function.archiver]
}

run "a_key_and_its_secret_are_refused" {
  command = plan
  variables {
    alibaba_role_arn          = null
    alibaba_oidc_provider_arn = null
    alibaba_access_key_id     = "LTAI"
    alibaba_access_key_secret = "secret"
    alibaba_access_key_arn    = "arn:aws:ssm:us-east-1:123456789012:parameter/archiver/key"
  }
  expect_failures = [aws_lambda_function.archiver]
}

run "a_version_of_a_secret_and_a_name_are_refused" {
  command = plan
  variables {
    webhook_token_arn      = "arn:aws:secretsmanager:us-east-1:123456789012:secret:archiver-a1B2c3:token:AWSCURRENT:"
    alibaba_access_key_arn = "archiver/key"
  }
  expect_failures = [var.webhook_token_arn, var.alibaba_access_key_arn]
}

run "an_alias_of_the_key_of_secrets_is_refused" {
  command = plan
  variables {
    secrets_kms_key_arn = "arn:aws:kms:us-east-1:123456789012:alias/secrets"
  }
  expect_failures = [var.secrets_kms_key_arn]
}

run "regions_in_one_word_are_refused" {
  command = plan
  variables {
    sweep_regions = ["cn-hangzhou,cn-beijing"]
  }
  expect_failures = [var.sweep_regions]
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

run "following_for_half_a_second_is_refused" {
  command = plan
  variables {
    follow_seconds = 0.5
  }
  expect_failures = [var.follow_seconds]
}

run "records_for_less_than_30_days_are_refused" {
  command = plan
  variables {
    retention_days = 29
  }
  expect_failures = [var.retention_days]
}

run "a_lock_of_less_than_0_days_is_refused" {
  command = plan
  variables {
    object_lock_days = -1
  }
  expect_failures = [var.object_lock_days]
}

run "days_that_cloudwatch_has_not_are_refused" {
  command = plan
  variables {
    log_retention_days = 31
  }
  expect_failures = [var.log_retention_days]
}

run "a_concurrency_below_0_is_refused" {
  command = plan
  variables {
    max_concurrency = -1
  }
  expect_failures = [var.max_concurrency]
}

run "an_address_and_a_topic_are_refused" {
  command = plan
  variables {
    alarm_email     = "operators@example.com"
    alarm_topic_arn = "arn:aws:sns:us-east-1:123456789012:alarms"
  }
  expect_failures = [aws_sns_topic_subscription.alarms]
}

run "a_concurrency_that_is_too_small_for_the_queues_is_refused" {
  command = plan
  variables {
    max_concurrency = 11
  }
  expect_failures = [var.max_concurrency]
}

run "more_days_than_cloudwatch_looks_back_are_refused" {
  command = plan
  variables {
    heartbeat_days = 8
  }
  expect_failures = [var.heartbeat_days]
}

run "a_word_as_address_for_alarms_is_refused" {
  command = plan
  variables {
    alarm_email = "operators"
  }
  expect_failures = [var.alarm_email]
}

run "a_queue_as_topic_for_alarms_is_refused" {
  command = plan
  variables {
    alarm_topic_arn = "arn:aws:sqs:us-east-1:123456789012:alarms"
  }
  expect_failures = [var.alarm_topic_arn]
}

run "fewer_rejected_requests_than_none_are_refused" {
  command = plan
  variables {
    rejected_requests_per_hour = -1
  }
  expect_failures = [var.rejected_requests_per_hour]
}

run "a_log_class_that_cloudwatch_has_not_is_refused" {
  command = plan
  variables {
    log_class = "ARCHIVE"
  }
  expect_failures = [var.log_class]
}

run "a_path_without_slashes_is_refused" {
  command = plan
  variables {
    role_path = "teams"
  }
  expect_failures = [var.role_path]
}

run "a_role_as_boundary_is_refused" {
  command = plan
  variables {
    permissions_boundary_arn = "arn:aws:iam::123456789012:role/limit"
  }
  expect_failures = [var.permissions_boundary_arn]
}

run "a_vpc_as_subnet_is_refused" {
  command = plan
  variables {
    subnet_ids = ["vpc-0a"]
  }
  expect_failures = [var.subnet_ids]
}

run "a_name_as_security_group_is_refused" {
  command = plan
  variables {
    security_group_ids = ["default"]
  }
  expect_failures = [var.security_group_ids]
}

run "a_share_of_boots_without_a_login_is_a_whole_number_below_100" {
  command = plan
  variables {
    logins_not_reached_percent = 100
    logins_not_reached_minimum = 0
  }
  expect_failures = [var.logins_not_reached_percent, var.logins_not_reached_minimum]
}
