variables {
  package                   = "function.zip"
  alibaba_role_arn          = "acs:ram::123456:role/archiver"
  alibaba_oidc_provider_arn = "acs:ram::123456:oidc-provider/archiver"
}

run "creates_no_url_without_a_token" {
  assert {
    condition     = output.webhook_url == null
    error_message = "There is a URL."
  }
}
