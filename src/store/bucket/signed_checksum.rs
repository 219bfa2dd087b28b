//! The digest of an object's body, calculated once: for its checksum, and for the signature.

use aws_runtime::auth::PayloadSigningOverride;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextRef;
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use base64::prelude::{BASE64_STANDARD, Engine as _};

/// Gives the signature the digest that the request has as its checksum, in hexadecimal. It is of the same
/// bytes. Without a checksum, the SDK calculates it.
#[derive(Debug)]
pub(super) struct SignChecksum;

#[dyn_dispatch_hint]
impl Intercept for SignChecksum {
    fn name(&self) -> &'static str {
        "SignChecksum"
    }

    fn read_before_signing(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Some(checksum) = context.request().headers().get("x-amz-checksum-sha256") else {
            return Ok(());
        };
        let digest = hex::encode(BASE64_STANDARD.decode(checksum)?);
        let digest = PayloadSigningOverride::Precomputed(digest);
        config.interceptor_state().store_put(digest);
        Ok(())
    }
}
