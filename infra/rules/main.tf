# Two EventBridge rules in the provider's region, which send instance events to a receiver of webhooks, or to a
# bus elsewhere. A bus carries only the events of its own region, so each region that has instances needs them.
# infra/push uses this module for its own region; infra/regions.sh writes the uses for the others.

terraform {
  required_version = ">= 1.3"
  required_providers {
    alicloud = {
      source  = "aliyun/alicloud"
      version = ">= 1.252.0"
    }
  }
}

# Without a region, the provider takes a default of its own. In another region than before, an apply finds
# nothing, and would create everything anew.
data "alicloud_regions" "current" {
  current = true

  lifecycle {
    postcondition {
      condition     = var.region == null || self.regions[0].id == var.region
      error_message = "The provider's region is ${self.regions[0].id}, and the variable region is another one. Set ALIBABA_CLOUD_REGION."
    }
  }
}

locals {
  # Two rules, because a pattern with data.state drops the system events, which have no state.
  rules = {
    state-changes = {
      source = ["acs.ecs"]
      type   = ["ecs:Instance:StateChange"]
      data   = { state = ["Stopping", "Starting", "Running"] }
    }
    system-events = {
      source = ["acs.ecs"]
      type = [
        "ecs:Instance:InstanceFailure.Reboot",
        "ecs:Instance:PreemptibleInstanceInterruption",
        "ecs:Instance:SystemFailure.Reboot",
        "ecs:Instance:SystemMaintenance.Reboot",
        "ecs:Instance:SystemMaintenance.RebootAndIsolateErrorDisk",
        "ecs:Instance:SystemMaintenance.RebootAndReInitErrorDisk",
      ]
    }
  }

  # The token's characters need no percent encoding.
  url = var.token_in_url ? "${trimsuffix(var.url, "/")}/${var.token}" : var.url

  to_bus   = var.bus != null
  endpoint = local.to_bus ? "acs:eventbridge:${var.bus.region}:${var.bus.account}:eventbus/${var.bus.name}" : local.url

  # What goes with each event, besides its body. EventBridge signs for the address, letter by letter. It sends the
  # token as x-eventbridge-signature-token; that key comes from the parameters of HTTPS sinks, because the
  # documents of rules have no example with a token. If events come without the token, set token_in_url.
  constants = local.to_bus ? tomap({
    RegionId     = var.bus.region
    AccountType  = "SameAccount"
    EventBusName = var.bus.name
    }) : tomap({
    url     = local.url
    Network = "PublicNetwork"
    Token   = var.token
  })
  # The names of the constants, which are no secrets.
  keys = local.to_bus ? ["RegionId", "AccountType", "EventBusName"] : concat(["url", "Network"], var.token_in_url ? [] : ["Token"])
}

resource "alicloud_event_bridge_rule" "rule" {
  for_each       = local.rules
  event_bus_name = "default"
  rule_name      = "${var.name}-${each.key}"
  description    = "Sends instance events to the archiver of console outputs"
  filter_pattern = jsonencode(each.value)

  targets {
    target_id = "archiver"
    type      = local.to_bus ? "acs.eventbridge" : "https"
    endpoint  = local.endpoint
    # For a day, with pauses up to 512 s. The receiver answers 503 to what it cannot accept yet.
    push_retry_strategy = "EXPONENTIAL_DECAY_RETRY"

    dynamic "dead_letter_queue" {
      for_each = var.dead_letter_queue_arn == "" ? [] : [var.dead_letter_queue_arn]
      content {
        arn = dead_letter_queue.value
      }
    }

    # The whole event. Without its envelope, its type and region would be lost.
    param_list {
      resource_key = "Body"
      form         = "ORIGINAL"
    }

    dynamic "param_list" {
      for_each = local.keys
      content {
        resource_key = param_list.value
        form         = "CONSTANT"
        value        = local.constants[param_list.value]
      }
    }
  }
  lifecycle {
    precondition {
      condition     = local.to_bus != (var.url != "")
      error_message = "Give either url, with token, or bus."
    }
    # Otherwise the function would get each event of this region twice.
    precondition {
      condition     = try(var.bus.region, "") != data.alicloud_regions.current.regions[0].id
      error_message = "The events of ${data.alicloud_regions.current.regions[0].id} reach the function of that region without a bus. Leave it out, as a name of infra/regions.sh, too; each workspace reads what that script wrote."
    }
    precondition {
      condition     = local.to_bus || var.token != ""
      error_message = "With url, give token too."
    }
  }
}
