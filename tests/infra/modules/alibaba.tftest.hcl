variables {
  package = "function.zip"
  bucket  = "archive"
}

run "creates_no_sweep_by_default" {
  assert {
    condition     = length(alicloud_fcv3_trigger.sweep) == 0
    error_message = "There is a sweep."
  }
}
