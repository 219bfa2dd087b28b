//! Whether the platform has identified the sender of an HTTP request.
//!
//! API Gateway sends an `authorizer` even if a route has none (`{"claims":null,"scopes":null}`). A
//! custom authorizer may also let unknown senders through. So the presence of an `authorizer`
//! proves nothing. It must name somebody.
//!
//! Sources: AWS, "Create AWS Lambda proxy integrations for HTTP APIs" (payloads 1.0 and 2.0),
//! "Input format of a Lambda function for proxy integration" (REST APIs), "Lambda function URLs".

use serde_json::{Map, Value};

/// Claims of a token that name its subject, or the client that it was issued to.
const NAMING_CLAIMS: [&str; 9] = [
    "sub",
    "client_id",
    "azp",
    "appid",
    "cid",
    "oid",
    "username",
    "cognito:username",
    "email",
];

/// Members that API Gateway adds, or that describe the decision and not the sender. In lower case.
const BOOKKEEPING: [&str; 22] = [
    "cachettl",
    "decision",
    "effect",
    "error",
    "errormessage",
    "errors",
    "expires",
    "expiresin",
    "message",
    "reason",
    "statuscode",
    "statusdescription",
    "ttl",
    "version",
    "integrationlatency",
    "integrationstatus",
    "isauthorized",
    "requestid",
    "latency",
    "status",
    "scope",
    "scopes",
];

/// Members that have their own rules.
const KNOWN: [&str; 5] = ["principalId", "claims", "jwt", "iam", "lambda"];

/// Values that authorizers write for an unknown sender, and that templates leave for an empty
/// value.
const NOBODY: [&str; 14] = [
    "anon",
    "false",
    "guest",
    "nil",
    "nobody",
    "n/a",
    "na",
    "no",
    "none",
    "null",
    "public",
    "true",
    "undefined",
    "yes",
];

/// Prefixes of names that stand for nobody, such as `anonymousUser`.
const NOBODY_STARTS: [&str; 5] = [
    "anonymous",
    "denied",
    "unauthenticated",
    "unauthorized",
    "unknown",
];

/// CloudFront signs with this role for every viewer (origin access control). So the role identifies
/// CloudFront, and not the sender.
const CLOUDFRONT_ROLE: &str = ":assumed-role/OriginAccessControlRole/";

/// Whether the `requestContext` of an HTTP request names the sender: by an authorizer, or by IAM.
pub fn names_sender(context: &Map<String, Value>) -> bool {
    let member = |name| context.get(name).and_then(Value::as_object);
    member("authorizer").is_some_and(authorizer_names) || member("identity").is_some_and(iam_v1)
}

fn authorizer_names(authorizer: &Map<String, Value>) -> bool {
    let object = |name| authorizer.get(name).and_then(Value::as_object);
    let jwt = object("jwt").and_then(|jwt| jwt.get("claims")?.as_object());
    if denies(authorizer) {
        return false;
    }
    authorizer.get("principalId").is_some_and(is_name)
        || object("claims").is_some_and(claims_name)
        || jwt.is_some_and(claims_name)
        || object("iam").is_some_and(iam_v2)
        || object("lambda").is_some_and(context_names)
        // The context of a Lambda authorizer in payload 1.0, which has no principal.
        || (!KNOWN.iter().any(|known| authorizer.contains_key(*known))
            && context_names(authorizer))
}

fn claims_name(claims: &Map<String, Value>) -> bool {
    NAMING_CLAIMS
        .iter()
        .any(|claim| claims.get(*claim).is_some_and(is_name))
}

/// Whether the context of a Lambda authorizer names the sender. The authorizer chooses the names of
/// its members.
fn context_names(context: &Map<String, Value>) -> bool {
    let is_about_sender = |name: &str| !BOOKKEEPING.contains(&name.to_ascii_lowercase().as_str());
    !denies(context)
        && context
            .iter()
            .any(|(name, value)| is_about_sender(name) && is_name(value))
}

/// Whether an authorizer says that the sender is unauthorized. Platforms reject such a request, but
/// an authorizer may allow it and leave the decision to the function.
fn denies(context: &Map<String, Value>) -> bool {
    context.iter().any(|(name, value)| {
        let word = value.as_str().unwrap_or_default().trim().to_lowercase();
        match name.to_ascii_lowercase().as_str() {
            "isauthorized" => *value == Value::Bool(false) || word == "false",
            "effect" | "decision" => word.starts_with("deny") || word.starts_with("denied"),
            "error" | "errors" | "errormessage" => !value.is_null() && *value != Value::Bool(false),
            _ => false,
        }
    })
}

/// `authorizer.iam` of function URLs and HTTP APIs.
fn iam_v2(iam: &Map<String, Value>) -> bool {
    let cognito = iam.get("cognitoIdentity").and_then(|id| id.get("amr"));
    let is_unknown = cognito.and_then(Value::as_array).is_some_and(|methods| {
        let says = |method: &Value| method.as_str() == Some("unauthenticated");
        methods.iter().any(says)
    });
    let names = |member: &str| iam.get(member).is_some_and(is_name);
    !is_unknown
        && match iam.get("userArn") {
            Some(Value::String(arn)) => is_principal(arn),
            _ => names("userId") || names("callerId"),
        }
}

/// `identity` of REST APIs and payload 1.0. `userArn` is set if IAM has checked a signature.
fn iam_v1(identity: &Map<String, Value>) -> bool {
    let kind = identity.get("cognitoAuthenticationType");
    kind.and_then(Value::as_str) != Some("unauthenticated")
        && (identity.get("userArn").and_then(Value::as_str)).is_some_and(is_principal)
}

fn is_principal(arn: &str) -> bool {
    arn.starts_with("arn:") && !arn.contains(CLOUDFRONT_ROLE)
}

fn is_name(value: &Value) -> bool {
    match value {
        Value::String(text) => {
            let text = text.trim().to_lowercase();
            let is_number_of_nobody = text.parse().is_ok_and(|number: f64| number <= 0.0);
            text.chars().any(char::is_alphanumeric)
                && !is_number_of_nobody
                && !NOBODY.contains(&text.as_str())
                && !NOBODY_STARTS.iter().any(|start| text.starts_with(start))
        }
        Value::Number(number) => number.as_f64().is_some_and(|number| number > 0.0),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(context: &Value, names_somebody: bool) {
        let context_object = context.as_object().unwrap();
        assert_eq!(names_sender(context_object), names_somebody, "{context}");
    }

    #[test]
    fn an_authorizer_that_names_nobody_proves_nothing() {
        for authorizer in [
            json!(null),
            json!({}),
            json!(true),
            json!("user"),
            json!(["user"]),
            json!({"claims": null, "scopes": null}),
            json!({"claims": {}, "scopes": []}),
            json!({"claims": {"sub": ""}, "scopes": ["a"]}),
            json!({"claims": {"sub": null}}),
            json!({"claims": {"iss": "https://issuer", "aud": "api", "exp": "1"}}),
            json!({"claims": "sub"}),
            json!({"claims": null, "stage": "prod"}),
            json!({"principalId": ""}),
            json!({"principalId": "  "}),
            json!({"principalId": "\u{200b}"}),
            json!({"principalId": null}),
            json!({"principalId": "", "integrationLatency": 5}),
            json!({"principalId": "", "stage": "prod"}),
            json!({"principalId": "anonymous", "integrationLatency": 5}),
            json!({"principalId": "undefined"}),
            json!({"principalId": "*"}),
            json!({"principalId": false}),
            json!({"integrationLatency": 5}),
            json!({"integrationLatency": "5", "scopes": "a b"}),
            json!({"isAuthorized": true}),
            json!({"jwt": null}),
            json!({"jwt": {}}),
            json!({"jwt": {"claims": null}}),
            json!({"jwt": {"claims": null, "scopes": ["push"]}}),
            json!({"jwt": {"claims": {}, "scopes": null}}),
            json!({"jwt": {"claims": {"sub": ""}}}),
            json!({"jwt": {"claims": [{"sub": "a"}]}}),
            json!({"iam": null}),
            json!({"iam": {}}),
            json!({"iam": {"accessKey": "", "accountId": "", "userArn": "", "userId": ""}}),
            json!({"iam": {"accessKey": null, "userArn": null, "cognitoIdentity": null}}),
            json!({"iam": {"userArn": "user", "userId": "user"}}),
            json!({"iam": {"userId": "", "callerId": null, "accountId": "111122223333"}}),
            json!({"iam": {"userArn": "arn:aws:sts::1:assumed-role/Visitor/CognitoIdentityCredentials",
                "cognitoIdentity": {"amr": ["unauthenticated"], "identityId": "i"}}}),
            json!({"iam": {"userArn": "arn:aws:sts::1:assumed-role/OriginAccessControlRole/\
                EdgeCredentialsProxy+EdgeHostAuthenticationClient-NRT12-P2"}}),
            json!({"lambda": null}),
            json!({"lambda": {}}),
            json!({"lambda": {"user": ""}}),
            json!({"lambda": {"user": null, "isAuthorized": true}}),
            json!({"lambda": {"isAuthorized": "true", "integrationLatency": 7}}),
            json!({"lambda": {"user": {}, "groups": []}}),
            json!({"lambda": null, "user": "a"}),
            json!({"lambda": {"user": "guest"}}),
            json!({"lambda": {"isAuthorized": false, "reason": "x"}}),
            json!({"lambda": {"isAuthorized": "false", "user": "a"}}),
            json!({"lambda": {"effect": "Deny"}}),
            json!({"lambda": {"Effect": "Deny", "user": "a"}}),
            json!({"lambda": {"error": "denied"}}),
            json!({"lambda": {"error": "denied", "user": "a"}}),
            json!({"lambda": {"message": "Forbidden"}}),
            json!({"lambda": {"reason": "no token given"}}),
            json!({"lambda": {"cacheTtl": 300}}),
            json!({"lambda": {"isAdmin": "false"}}),
            json!({"lambda": {"tenant": "n/a"}}),
            json!({"principalId": "0"}),
            json!({"principalId": "false"}),
            json!({"principalId": "-1"}),
            json!({"principalId": -1}),
            json!({"principalId": "anonymousUser"}),
            json!({"principalId": "unauthenticated user"}),
            json!({"principalId": "user", "isAuthorized": false}),
        ] {
            check(&json!({"authorizer": authorizer}), false);
            check(&json!({"authorizer": authorizer, "identity": null}), false);
        }
        check(&json!({}), false);
        check(&json!({"elb": {"targetGroupArn": "arn"}}), false);
    }

    #[test]
    fn an_authorizer_that_names_somebody_is_a_proof() {
        for authorizer in [
            // A REST API with a user pool, and payload 1.0 with a JWT authorizer.
            json!({"claims": {"sub": "0b1c", "token_use": "id", "email": "a@example.com"}}),
            json!({"claims": {"client_id": "machine", "scope": "push"}, "scopes": null}),
            // A REST API with a Lambda authorizer.
            json!({"principalId": "user", "integrationLatency": 1200}),
            json!({"principalId": "user|a1b2c3d4", "stringKey": "value", "booleanKey": "true"}),
            // Payload 1.0 with a Lambda authorizer of simple answers.
            json!({"key": "value", "integrationLatency": 3}),
            // Payload 2.0.
            json!({"jwt": {"claims": {"sub": "0b1c", "iss": "https://issuer"}, "scopes": ["push"]}}),
            json!({"lambda": {"key": "value"}}),
            json!({"lambda": {"userId": 42}}),
            json!({"iam": {"accessKey": "ASIAEXAMPLE", "accountId": "111122223333",
                "callerId": "AROAEXAMPLE:session", "cognitoIdentity": null, "principalOrgId": null,
                "userArn": "arn:aws:sts::111122223333:assumed-role/pusher/session",
                "userId": "AROAEXAMPLE:session"}}),
            json!({"iam": {"userId": "AIDAEXAMPLE"}}),
            json!({"iam": {"userArn": "arn:aws:sts::111122223333:assumed-role/user/x",
                "cognitoIdentity": {"amr": ["authenticated", "provider"], "identityId": "i"}}}),
        ] {
            check(&json!({"authorizer": authorizer}), true);
        }
    }

    /// A REST API with `AWS_IAM` has no authorizer, and names the caller in `identity`.
    #[test]
    fn a_rest_api_with_iam_names_the_caller_in_its_identity() {
        let identity = |arn: Value, kind: Value| {
            json!({"identity": {"userArn": arn, "cognitoAuthenticationType": kind,
                "sourceIp": "203.0.113.9", "user": "AIDAEXAMPLE", "apiKey": "key"}})
        };
        let arn = json!("arn:aws:iam::111122223333:user/pusher");
        check(&identity(arn.clone(), Value::Null), true);
        check(&identity(arn.clone(), json!("authenticated")), true);
        check(&identity(arn, json!("unauthenticated")), false);
        // An API key only selects a billing plan, and does not prove the sender. `user` never
        // occurs alone.
        check(&identity(Value::Null, Value::Null), false);
        check(&identity(json!(""), Value::Null), false);
    }
}
