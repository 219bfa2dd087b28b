# What infra/rules creates and refuses. tests/infra/modules.py runs it with a provider of our own.

variables {
  url   = "https://example.com/"
  token = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
}

run "two_rules_send_whole_events_with_the_token_as_a_header" {
  assert {
    condition     = toset(keys(alicloud_event_bridge_rule.rule)) == toset(["state-changes", "system-events"])
    error_message = "The rules are others."
  }
  assert {
    condition = alltrue([
      for rule in alicloud_event_bridge_rule.rule :
      one([for parameter in rule.targets[0].param_list : parameter.value if parameter.resource_key == "Token"]) == var.token
    ])
    error_message = "The token does not go with the events."
  }
  assert {
    condition = alltrue([
      for rule in alicloud_event_bridge_rule.rule :
      one([for parameter in rule.targets[0].param_list : parameter.form if parameter.resource_key == "Body"]) == "ORIGINAL"
    ])
    error_message = "Events lose their envelope."
  }
}

run "in_the_url_the_token_is_the_last_segment_and_no_header" {
  variables {
    token_in_url = true
  }
  assert {
    condition = alltrue([
      for rule in alicloud_event_bridge_rule.rule :
      one([for parameter in rule.targets[0].param_list : parameter.value if parameter.resource_key == "url"]) == "https://example.com/${var.token}"
    ])
    error_message = "Events go to another address."
  }
  assert {
    condition = alltrue([
      for rule in alicloud_event_bridge_rule.rule :
      length([for parameter in rule.targets[0].param_list : parameter if parameter.resource_key == "Token"]) == 0
    ])
    error_message = "The token goes as a header, too."
  }
  assert {
    condition     = alltrue([for rule in alicloud_event_bridge_rule.rule : rule.targets[0].endpoint == "https://example.com/${var.token}"])
    error_message = "The endpoint is another address than the target's."
  }
}

run "events_that_cannot_be_sent_go_to_the_queue" {
  variables {
    dead_letter_queue_arn = "acs:mns:cn-hangzhou:123456:/queues/failed"
  }
  assert {
    condition     = alltrue([for rule in alicloud_event_bridge_rule.rule : one(rule.targets[0].dead_letter_queue).arn == var.dead_letter_queue_arn])
    error_message = "Events that cannot be sent are lost."
  }
}

run "without_a_queue_events_that_cannot_be_sent_are_dropped" {
  assert {
    condition     = alltrue([for rule in alicloud_event_bridge_rule.rule : length(rule.targets[0].dead_letter_queue) == 0])
    error_message = "Events go to a queue that nobody named."
  }
}

run "to_a_bus_events_go_without_a_token" {
  variables {
    url   = ""
    token = ""
    bus   = { region = "cn-beijing", account = "123456", name = "archiver" }
  }
  assert {
    condition     = alltrue([for rule in alicloud_event_bridge_rule.rule : rule.targets[0].type == "acs.eventbridge" && rule.targets[0].endpoint == "acs:eventbridge:cn-beijing:123456:eventbus/archiver"])
    error_message = "Events go elsewhere."
  }
  # The sample of the page "Event target parameters".
  assert {
    condition = alltrue([
      for rule in alicloud_event_bridge_rule.rule :
      tomap({ for parameter in rule.targets[0].param_list : parameter.resource_key => parameter.value if parameter.form == "CONSTANT" })
      == tomap({ RegionId = "cn-beijing", AccountType = "SameAccount", EventBusName = "archiver" })
    ])
    error_message = "The parameters are others than EventBridge's page has."
  }
  assert {
    condition     = alltrue([for rule in alicloud_event_bridge_rule.rule : one([for parameter in rule.targets[0].param_list : parameter.form if parameter.resource_key == "Body"]) == "ORIGINAL"])
    error_message = "Events lose their envelope."
  }
}

# What is refused.

run "a_bus_without_a_name_is_refused" {
  command = plan
  variables {
    url   = ""
    token = ""
    bus   = { region = "cn-beijing", account = "123456", name = null }
  }
  expect_failures = [var.bus]
}

run "another_region_than_the_providers_is_refused" {
  command = plan
  variables {
    region = "cn-beijing"
  }
  expect_failures = [data.alicloud_regions.current]
}

run "a_name_of_two_characters_is_refused" {
  command = plan
  variables {
    name = "ab"
  }
  expect_failures = [var.name]
}

run "an_address_without_tls_is_refused" {
  command = plan
  variables {
    url = "http://example.com/"
  }
  expect_failures = [var.url]
}

run "an_address_with_a_user_and_no_host_is_refused" {
  command = plan
  variables {
    url = "https://@"
  }
  expect_failures = [var.url]
}

run "two_tokens_are_refused" {
  command = plan
  variables {
    token = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa,aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
  }
  expect_failures = [var.token]
}

run "a_queue_of_aws_is_refused" {
  command = plan
  variables {
    dead_letter_queue_arn = "arn:aws:sqs:us-east-1:123456789012:failed"
  }
  expect_failures = [var.dead_letter_queue_arn]
}
