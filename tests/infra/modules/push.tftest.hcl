variables {
  url   = "https://example.com/"
  token = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
}

run "creates_no_role_without_an_issuer" {
  assert {
    condition     = output.role_arn == null
    error_message = "There is a role."
  }
}
