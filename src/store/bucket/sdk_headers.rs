//! Headers in which the SDK speaks of itself, left out of each request.

use aws_runtime::invocation_id::InvocationIdInterceptor;
use aws_runtime::request_info::RequestInfoInterceptor;
use aws_runtime::user_agent::UserAgentInterceptor;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::BeforeSerializationInterceptorContextRef;
use aws_smithy_runtime_api::client::interceptors::{
    Intercept, disable_interceptor, dyn_dispatch_hint,
};
use aws_smithy_types::config_bag::ConfigBag;

/// Leaves out `x-amz-user-agent`, `amz-sdk-invocation-id` and `amz-sdk-request`. No store needs them: they
/// tell AWS of the SDK and of retries by it, and it never retries here. They would be written, signed and
/// sent for each object. `User-Agent` is that of the HTTP client, so the logs of a bucket name this program.
#[derive(Debug)]
pub(super) struct NoSdkHeaders;

#[dyn_dispatch_hint]
impl Intercept for NoSdkHeaders {
    fn name(&self) -> &'static str {
        "NoSdkHeaders"
    }

    fn read_before_execution(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        const WHY: &str = "no store needs its header";
        let state = config.interceptor_state();
        state.store_put(disable_interceptor::<UserAgentInterceptor>(WHY));
        state.store_put(disable_interceptor::<InvocationIdInterceptor>(WHY));
        state.store_put(disable_interceptor::<RequestInfoInterceptor>(WHY));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use sha2::{Digest as _, Sha256};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use crate::store::bucket::tests::store;
    use crate::store::bucket::{Addressing, Profile};
    use crate::store::{Object, PutOutcome, Store as _};

    /// The headers with which an object is put, in order.
    async fn headers_of_put(profile: Profile) -> BTreeMap<String, String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let store = store("us-east-1", Some(&url), Addressing::Path, profile);
        let object = Object {
            body: b"body".to_vec(),
            content_type: "text/plain".to_owned(),
            metadata: [("format".to_owned(), "1".to_owned())].into(),
        };
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\nbody") {
                request.push(stream.read_u8().await.unwrap());
            }
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\netag: \"1\"\r\n\r\n";
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(request).unwrap()
        };
        let (put, request) = tokio::join!(store.put_if_absent("i-a/x", &object), server);
        assert_eq!(put.unwrap(), PutOutcome::Created);
        let lines = request.lines().skip(1);
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        headers.collect()
    }

    #[tokio::test]
    async fn a_store_is_sent_what_it_needs_and_nothing_of_the_sdk() {
        for (profile, own) in [
            (
                Profile::Aws,
                &["if-none-match", "x-amz-checksum-sha256"][..],
            ),
            (Profile::Oss, &["x-oss-forbid-overwrite"]),
        ] {
            let headers = headers_of_put(profile).await;
            let common = [
                "accept",
                "authorization",
                "content-length",
                "content-type",
                "host",
                "user-agent",
                "x-amz-content-sha256",
                "x-amz-date",
                "x-amz-meta-format",
            ];
            let mut expected = [&common[..], own].concat();
            expected.sort_unstable();
            assert!(headers.keys().eq(expected), "{headers:?}");
            assert!(headers["user-agent"].starts_with("ecs-console-archiver/"));
            // Whether the SDK calculates it or not.
            let digest = hex::encode(Sha256::digest(b"body"));
            assert_eq!(headers["x-amz-content-sha256"], digest);
        }
    }
}
