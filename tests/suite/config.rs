//! Wrong and missing settings are reported by name, all of them at once.

use ecs_console_archiver::config::{Archive, Config, Environment, FollowQueue, Sections};
use ecs_console_archiver::credentials::source::Source;
use ecs_console_archiver::store::bucket::{Addressing, Encryption, EncryptionMethod, Profile};

const GOOD: [(&str, &str); 6] = [
    ("ARCHIVE_URL", "s3://bucket/a/b/"),
    ("ALIBABA_CLOUD_ACCESS_KEY_ID", "id"),
    ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "hush-secret"),
    ("AWS_ACCESS_KEY_ID", "aws-id"),
    ("AWS_SECRET_ACCESS_KEY", "hush-aws"),
    ("AWS_REGION", "us-east-1"),
];

fn environment(changes: &[(&str, &str)]) -> Environment {
    Environment::new(|name| {
        let find = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, value)| (*value).to_owned())
        };
        find(changes).or_else(|| find(&GOOD))
    })
}

#[track_caller]
fn check_wrong(changes: &[(&str, &str)], starts: &[&str]) {
    let error = Config::from_environment(&environment(changes))
        .unwrap_err()
        .to_string();
    let lines: Vec<_> = error.lines().collect();
    assert_eq!(lines.len(), starts.len(), "{error}");
    for start in starts {
        assert!(
            lines.iter().any(|line| line.starts_with(start)),
            "{start:?} in {error}"
        );
    }
    assert!(!error.contains("hush"), "{error}");
}

fn bucket(changes: &[(&str, &str)]) -> ecs_console_archiver::store::bucket::BucketConfig {
    match Config::from_environment(&environment(changes))
        .unwrap()
        .archive
    {
        Archive::Bucket(bucket) => *bucket,
        Archive::Directory(path) => panic!("{path:?}"),
    }
}

#[test]
fn a_fifo_queue_to_follow_with_is_refused_with_what_to_make() {
    let changes = [
        ("FOLLOW_SECONDS", "180"),
        (
            "FOLLOW_QUEUE_URL",
            "https://sqs.us-east-1.amazonaws.com/123456789012/follow.fifo",
        ),
    ];
    let error = Config::from_environment(&environment(&changes)).unwrap_err();
    let [problem] = error.problems() else {
        panic!("{error}");
    };
    assert!(problem.contains("FIFO") && problem.contains("standard queue"));
    let standard = "https://sqs.us-east-1.amazonaws.com/123456789012/follow-fifo";
    let changes = [("FOLLOW_SECONDS", "180"), ("FOLLOW_QUEUE_URL", standard)];
    assert!(Config::from_environment(&environment(&changes)).is_ok());
}

#[test]
fn a_follow_queue_goes_with_zero_seconds_for_it_carries_sweeps_but_not_with_none() {
    let queue = (
        "FOLLOW_QUEUE_URL",
        "https://sqs.us-east-1.amazonaws.com/123456789012/follow",
    );
    let config = Config::from_environment(&environment(&[queue, ("FOLLOW_SECONDS", "0")])).unwrap();
    assert!(config.follow_queue.is_some() && config.follow_budget.is_zero());
    check_wrong(&[queue], &["FOLLOW_QUEUE_URL: FOLLOW_SECONDS is not set"]);
}

#[test]
fn the_function_invokes_itself_only_on_function_compute_where_its_name_and_region_are_known() {
    let itself = [("FOLLOW_QUEUE_URL", "fc://self"), ("FOLLOW_SECONDS", "300")];
    let with = |more: &[(&'static str, &'static str)]| [&itself[..], more].concat();
    let name = ("FC_FUNCTION_NAME", "archiver");
    let region = ("FC_REGION", "cn-beijing");
    let endpoint = |changes: &[(&str, &str)]| {
        let config = Config::from_environment(&environment(changes)).unwrap();
        match config.follow_queue {
            Some(FollowQueue::FunctionCompute(config)) => config.endpoint.to_string(),
            other => panic!("{other:?}"),
        }
    };
    let public = "https://fcv3.cn-beijing.aliyuncs.com/";
    assert_eq!(endpoint(&with(&[name, region])), public);
    // The templates set it to the same region.
    let default_region = ("ALIBABA_CLOUD_REGION_ID", "cn-beijing");
    assert_eq!(endpoint(&with(&[name, default_region])), public);
    let internal = (
        "FUNCTION_COMPUTE_ENDPOINT_URL",
        "https://{account}.{region}-internal.fc.aliyuncs.com",
    );
    let account = ("FC_ACCOUNT_ID", "1690700000000030");
    assert_eq!(
        endpoint(&with(&[name, region, internal, account])),
        "https://1690700000000030.cn-beijing-internal.fc.aliyuncs.com/"
    );
    let port = ("FC_SERVER_PORT", "9000");
    let elsewhere =
        "FOLLOW_QUEUE_URL: fc://self is the function itself, and this is not Function Compute";
    check_wrong(&itself, &[elsewhere]);
    check_wrong(
        &with(&[port]),
        &["FC_FUNCTION_NAME: not set", "FC_REGION: not set"],
    );
    check_wrong(&with(&[name, ("FC_REGION", "evil/")]), &["FC_REGION: "]);
    let unknown = "FUNCTION_COMPUTE_ENDPOINT_URL: {account} is unknown";
    check_wrong(&with(&[name, region, internal]), &[unknown]);
    let path = ("FUNCTION_COMPUTE_ENDPOINT_URL", "https://a.example/path");
    check_wrong(
        &with(&[name, region, path]),
        &["FUNCTION_COMPUTE_ENDPOINT_URL: expected"],
    );
    let other = ("FOLLOW_QUEUE_URL", "fc://other");
    let changes = [other, ("FOLLOW_SECONDS", "300"), name, region];
    check_wrong(
        &changes,
        &["FOLLOW_QUEUE_URL: \"fc://other\" is unknown; expected fc://self"],
    );
    check_wrong(
        &[itself[0], name, region],
        &["FOLLOW_QUEUE_URL: FOLLOW_SECONDS is not set"],
    );
}

/// Whoever checks a set-up may have the function's settings.
#[test]
fn for_doctor_the_setting_of_a_function_that_invokes_itself_is_no_problem() {
    let itself = [("FOLLOW_QUEUE_URL", "fc://self"), ("FOLLOW_SECONDS", "300")];
    let sections = Sections::from_environment(&environment(&itself));
    assert!(sections.problems.is_ok(), "{sections:?}");
    assert!(sections.function_invokes_itself && sections.follow_queue.is_none());
    let sections = Sections::from_environment(&environment(&[]));
    assert!(!sections.function_invokes_itself);
}

#[test]
fn a_secret_comes_from_its_setting_or_from_a_secrets_manager_and_not_from_both() {
    let arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:archiver-a1B2c3#token";
    let token = ("WEBHOOK_TOKEN_ARN", arn);
    let config = Config::from_environment(&environment(&[token])).unwrap();
    let address = config.webhook_token.unwrap().address;
    let host = "https://secretsmanager.us-east-1.amazonaws.com/";
    assert_eq!(
        (address.arn.to_string(), address.endpoint.as_str()),
        (arn.into(), host)
    );
    let both = [token, ("WEBHOOK_TOKEN", "hush-hush-hush")];
    check_wrong(
        &both,
        &["WEBHOOK_TOKEN_ARN: set together with WEBHOOK_TOKEN;"],
    );
    let key = ("ALIBABA_CLOUD_ACCESS_KEY_ARN", arn);
    let why = "ALIBABA_CLOUD_ACCESS_KEY_ARN: set together with ALIBABA_CLOUD_ACCESS_KEY_ID;";
    check_wrong(&[key], &[why]);
    // Function Compute sets a key itself.
    let on_fc = [key, ("FC_FUNCTION_NAME", "archiver")];
    let config = Config::from_environment(&environment(&on_fc)).unwrap();
    assert!(matches!(config.ecs.credentials, Source::Managed(_)));
    for (name, value) in [
        ("WEBHOOK_TOKEN_ARN", "hush-hush-hush"),
        (
            "WEBHOOK_TOKEN_ARN",
            "arn:aws:secretsmanager:us-east-1:1:secret:hush:json::",
        ),
        (
            "WEBHOOK_TOKEN_ARN",
            "arn:moon:ssm:us-east-1:1:parameter/hush",
        ),
    ] {
        check_wrong(&[(name, value)], &[name]);
    }
    let at = (
        "AWS_ENDPOINT_URL_SECRETS_MANAGER",
        "https://vpce.example/path",
    );
    check_wrong(
        &[token, at],
        &["AWS_ENDPOINT_URL_SECRETS_MANAGER: expected an address"],
    );
    let open = [token, ("WEBHOOK_ALLOW_UNSIGNED", "true")];
    check_wrong(
        &open,
        &["WEBHOOK_ALLOW_UNSIGNED: true accepts pushes from anyone, and WEBHOOK_TOKEN_ARN"],
    );
}

#[test]
fn a_secret_of_kms_is_read_with_the_credentials_before_any_role() {
    let arn = "acs:kms:cn-hangzhou:1690700000000030:secret/archiver";
    let token = ("WEBHOOK_TOKEN_ARN", arn);
    let role = ("ALIBABA_CLOUD_ROLE_ARN", "acs:ram::1:role/archiver");
    let config = Config::from_environment(&environment(&[token, role])).unwrap();
    assert!(matches!(config.ecs.credentials, Source::AssumeRole { .. }));
    let secret = config.webhook_token.unwrap();
    assert!(matches!(secret.reader, Source::Static(_)));
    assert_eq!(
        secret.address.endpoint.as_str(),
        "https://kms.cn-hangzhou.aliyuncs.com/"
    );
    // A session of its own, in the account of the secret.
    let oidc = [
        token,
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", ""),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", ""),
        ("ALIBABA_CLOUD_ROLE_ARN", "acs:ram::{account}:role/archiver"),
        (
            "ALIBABA_CLOUD_OIDC_PROVIDER_ARN",
            "acs:ram::{account}:oidc-provider/aws",
        ),
        ("ALIBABA_CLOUD_OIDC_TOKEN_AUDIENCE", "sts.aliyuncs.com"),
    ];
    let config = Config::from_environment(&environment(&oidc)).unwrap();
    let Source::Oidc { role, .. } = config.webhook_token.unwrap().reader else {
        panic!("another reader");
    };
    assert_eq!(role.arn, "acs:ram::1690700000000030:role/archiver");
    let policy = role.session_policy.unwrap();
    assert!(
        policy.contains("kms:GetSecretValue") && !policy.contains("ecs:"),
        "{policy}"
    );
}

#[test]
fn a_prefix_ends_in_one_slash_or_is_empty() {
    for (url, prefix) in [
        ("s3://bucket", ""),
        ("s3://bucket/", ""),
        ("s3://bucket/a", "a/"),
        ("s3://bucket/a/b/", "a/b/"),
    ] {
        assert_eq!(bucket(&[("ARCHIVE_URL", url)]).prefix, prefix, "{url}");
    }
}

#[test]
fn everything_that_is_missing_is_named_at_once() {
    // On a function host there is no instance whose role could be used.
    let on_lambda = |name| (name == "AWS_LAMBDA_RUNTIME_API").then(|| "127.0.0.1:1".to_owned());
    let nothing = Environment::new(on_lambda);
    let error = Config::from_environment(&nothing).unwrap_err().to_string();
    for name in [
        "ARCHIVE_URL: not set",
        "ALIBABA_CLOUD_ACCESS_KEY_ID: not set",
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET: not set",
    ] {
        assert!(error.contains(name), "{error}");
    }
    check_wrong(
        &[
            ("AWS_ACCESS_KEY_ID", ""),
            ("AWS_SECRET_ACCESS_KEY", ""),
            ("AWS_REGION", ""),
        ],
        &[
            "AWS_ACCESS_KEY_ID: not set",
            "AWS_SECRET_ACCESS_KEY: not set",
            "AWS_REGION: not set",
        ],
    );
}

#[test]
fn wrong_settings_are_named_with_what_is_expected() {
    for (name, values) in [
        (
            "ARCHIVE_URL",
            &[
                "bucket",
                "s3://",
                "s3://UPPER/x",
                "s3://b",
                "http://bucket/x",
                "s3://bucket/a//b",
                "s3://user:pass@bucket/x",
                "s3://bucket/x?region=a",
                "file://relative/x",
                "file:///x?y=1",
                "file://",
                "file:///",
                "oss://bucket/x",
                "oss://bucket/x?region=..",
                "oss://bucket/x?zone=a",
            ][..],
        ),
        (
            "ECS_ENDPOINT_URL",
            &["ecs.aliyuncs.com", "https://h/path", "ftp://h"],
        ),
        ("ECS_SIGNATURE_VERSION", &["v3", "2.0"]),
        ("AWS_S3_ADDRESSING_STYLE", &["vhost", "PATH", "domain"]),
        (
            "AWS_SERVER_SIDE_ENCRYPTION",
            &["true", "aes256", "SM4", "sse-c"],
        ),
        ("AWS_SSE_KMS_KEY_ID", &["key-1"]),
        (
            "ALIBABA_CLOUD_REGION_ID",
            &["hangzhou", "cn-a.evil.example"],
        ),
        (
            "TRIGGER_STATES",
            &["running", "Running,,Stopping", "Runing"],
        ),
        ("FOLLOW_SECONDS", &["3601", "-1", "soon"]),
        ("ARCHIVE_PROFILE", &["garage", "AWS"]),
        (
            "FOLLOW_QUEUE_URL",
            &[
                "queue",
                "https://sqs.us-east-1.amazonaws.com",
                "sqs://a/b",
                "https://sqs.us-east-1.amazonaws.com/123456789012/follow.fifo",
                "http://127.0.0.1:9324/000000000000/follow.fifo/",
            ][..],
        ),
        ("AWS_ENDPOINT_URL_S3", &["s3.example.com", "https://h?x"]),
        (
            "WEBHOOK_TOKEN",
            &[",", "a,", " ", " a", "a ", "a\n", "a, b"],
        ),
        ("WEBHOOK_URL", &["archiver.example", "ftp://a", "https://"]),
        (
            "WEBHOOK_ACCOUNTS",
            &["a", ",", "1,", "-1", "1.5", "+1", "*"],
        ),
        ("WEBHOOK_ALLOW_UNSIGNED", &["yes", "TRUE", "1"]),
    ] {
        for value in values {
            let error = Config::from_environment(&environment(&[(name, value)]))
                .unwrap_err()
                .to_string();
            assert!(
                error
                    .lines()
                    .all(|line| line.starts_with(&format!("{name}: "))),
                "{value}: {error}"
            );
        }
    }
}

#[test]
fn settings_of_webhooks_that_contradict_each_other_are_named_with_advice() {
    let url = ("WEBHOOK_URL", "https://archiver.example/");
    let token = ("WEBHOOK_TOKEN", "hush-hush-token");
    let open = ("WEBHOOK_ALLOW_UNSIGNED", "true");
    let listen = ("LISTEN_ADDR", "127.0.0.1:0");
    let unsigned = "WEBHOOK_ALLOW_UNSIGNED: true accepts pushes from anyone, and WEBHOOK_";
    for (changes, starts) in [
        (&[open, token][..], unsigned),
        (&[open, url], unsigned),
        (&[open, token, url, listen], unsigned),
        (
            &[url],
            "WEBHOOK_ACCOUNTS: not set; EventBridge signs for every customer",
        ),
        (&[url, listen], "WEBHOOK_ACCOUNTS: not set; "),
        (
            &[url, ("FC_FUNCTION_NAME", "f")],
            "WEBHOOK_ACCOUNTS: not set; ",
        ),
        (
            &[url, ("ALIBABA_CLOUD_ROLE_ARN", "acs:ram::{account}:role/r")],
            "WEBHOOK_ACCOUNTS: not set; ",
        ),
        (
            &[("WEBHOOK_ACCOUNTS", "1")],
            "WEBHOOK_ACCOUNTS: only the accounts of signed pushes",
        ),
        (
            &[("WEBHOOK_ACCOUNTS", "1"), token],
            "WEBHOOK_ACCOUNTS: only the accounts of signed pushes",
        ),
        (
            &[listen],
            "WEBHOOK_TOKEN: not set, so every push would be unauthorized",
        ),
        (
            &[listen, ("WEBHOOK_ALLOW_UNSIGNED", "false")],
            "WEBHOOK_TOKEN: not set, so every push would be unauthorized",
        ),
    ] {
        check_wrong(changes, &[starts]);
    }
}

#[test]
fn a_signature_is_good_for_the_accounts_that_are_named_or_for_the_functions_own() {
    let url = ("WEBHOOK_URL", "https://archiver.example/");
    let role = (
        "ALIBABA_CLOUD_ROLE_ARN",
        "acs:ram::1000000000000001:role/archiver",
    );
    let host = ("FC_ACCOUNT_ID", "1000000000000002");
    let named = ("WEBHOOK_ACCOUNTS", "1000000000000003, 1000000000000004");
    let token = ("WEBHOOK_TOKEN", "hush-hush-token");
    for (changes, accounts) in [
        (&[url, role][..], &["1000000000000001"][..]),
        (&[url, host], &["1000000000000002"]),
        (
            &[url, role, host],
            &["1000000000000001", "1000000000000002"],
        ),
        (
            &[url, role, named],
            &["1000000000000003", "1000000000000004"],
        ),
        (
            &[url, token, named],
            &["1000000000000003", "1000000000000004"],
        ),
        // A token says whose rule pushes, and one deployment may serve many accounts.
        (&[url, token, role], &[]),
        (&[token, role], &[]),
    ] {
        let policy = Config::from_environment(&environment(changes))
            .unwrap()
            .webhook;
        let found: Vec<_> = policy.accounts.iter().map(String::as_str).collect();
        assert_eq!(found, accounts, "{changes:?}");
    }
}

#[test]
fn functions_that_nobody_pushes_to_need_no_proof_of_senders() {
    let lambda = ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:1");
    for changes in [
        &[lambda][..],
        &[lambda, ("LISTEN_ADDR", "127.0.0.1:0")],
        &[("FC_FUNCTION_NAME", "archiver")],
        &[],
        &[
            ("LISTEN_ADDR", "127.0.0.1:0"),
            ("WEBHOOK_ALLOW_UNSIGNED", "true"),
        ],
        &[
            ("LISTEN_ADDR", "127.0.0.1:0"),
            ("WEBHOOK_TOKEN", "hush-hush-token"),
        ],
    ] {
        let config = Config::from_environment(&environment(changes));
        assert!(config.is_ok(), "{changes:?}: {config:?}");
    }
}

#[test]
fn oss_takes_the_accounts_keys_and_its_own_host() {
    let config = bucket(&[
        ("ARCHIVE_URL", "oss://bucket/x?region=cn-beijing"),
        ("AWS_REGION", ""),
    ]);
    assert_eq!(
        config.endpoint_url.as_deref(),
        Some("https://s3.oss-cn-beijing.aliyuncs.com")
    );
    let Source::Static(credentials) = &config.credentials else {
        panic!("{:?}", config.credentials);
    };
    assert_eq!(credentials.access_key_id, "id");
    assert_eq!(config.addressing, Addressing::VirtualHosted);
    let inside = "https://s3.oss-cn-beijing-internal.aliyuncs.com";
    let config = bucket(&[
        ("ARCHIVE_URL", "oss://bucket/x"),
        ("ALIBABA_CLOUD_REGION_ID", "cn-beijing"),
        ("AWS_ENDPOINT_URL_S3", inside),
    ]);
    assert_eq!(config.endpoint_url.as_deref(), Some(inside));
    let error = Config::from_environment(&environment(&[(
        "ARCHIVE_URL",
        "oss://my.bucket/x?region=cn-a",
    )]));
    assert!(error.unwrap_err().to_string().contains("without dots"));
}

#[test]
fn reading_needs_only_what_the_archive_needs() {
    let only = Environment::new(|name| (name == "ARCHIVE_URL").then(|| "file:///tmp/x".to_owned()));
    assert_eq!(
        Archive::from_environment(&only),
        Ok(Archive::Directory("/tmp/x".into()))
    );
}

#[test]
fn the_secret_of_an_oss_archive_is_named_when_only_that_is_read() {
    let error = Archive::from_environment(&environment(&[
        ("ARCHIVE_URL", "oss://bucket/x?region=cn-beijing"),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", ""),
    ]));
    let error = error.unwrap_err();
    assert!(
        matches!(error.problems(), [one] if one.starts_with("ALIBABA_CLOUD_ACCESS_KEY_SECRET: ")),
        "{error}"
    );
}

#[test]
fn a_part_can_be_tried_when_another_ones_settings_are_wrong() {
    let parts = |changes: &[_]| Sections::from_environment(&environment(changes));
    let no_ecs = parts(&[("ECS_ENDPOINT_URL", "ecs"), ("FOLLOW_SECONDS", "soon")]);
    assert!(no_ecs.archive.is_some() && no_ecs.ecs.is_none());
    assert_eq!(no_ecs.problems.unwrap_err().problems().len(), 2);
    let no_archive = parts(&[("AWS_REGION", "")]);
    assert!(no_archive.archive.is_none() && no_archive.ecs.is_some());
    assert!(no_archive.follow_queue.is_none());
    assert_eq!(parts(&[]).problems, Ok(()));
}

#[test]
fn debug_shows_no_secret() {
    let config = Config::from_environment(&environment(&[
        ("ALIBABA_CLOUD_SECURITY_TOKEN", "hush-token"),
        ("AWS_SESSION_TOKEN", "hush-session"),
    ]))
    .unwrap();
    let shown = format!("{config:?}");
    assert!(
        shown.contains("aws-id") && !shown.contains("hush"),
        "{shown}"
    );
    let archiver = format!("{:?}", config.dispatcher().unwrap());
    assert!(!archiver.contains("hush"), "{archiver}");
}

#[test]
fn where_addresses_have_the_bucket_is_told_by_the_endpoint_or_by_a_setting() {
    use Addressing::{OwnDomain, Path, VirtualHosted};
    for (bucket_name, endpoint, style, expected) in [
        ("bucket", "", "", VirtualHosted),
        ("my.bucket", "", "", Path),
        ("my_bucket", "", "", Path),
        ("bucket", "", "path", Path),
        (
            "bucket",
            "https://s3.us-east-1.amazonaws.com",
            "",
            VirtualHosted,
        ),
        (
            "bucket",
            "https://s3.cn-north-1.amazonaws.com.cn",
            "",
            VirtualHosted,
        ),
        ("bucket", "https://bucket.s3.amazonaws.com", "", OwnDomain),
        (
            "bucket",
            "https://bucket.vpce-1-2.s3.us-east-1.vpce.amazonaws.com",
            "",
            VirtualHosted,
        ),
        (
            "consoles-1250000000",
            "https://cos.ap-guangzhou.myqcloud.com",
            "",
            VirtualHosted,
        ),
        (
            "bucket",
            "https://cos.ap-guangzhou.tencentcos.cn",
            "",
            VirtualHosted,
        ),
        (
            "bucket",
            "https://tos-s3-cn-beijing.volces.com",
            "",
            VirtualHosted,
        ),
        (
            "bucket",
            "https://bucket.tos-s3-cn-beijing.volces.com",
            "virtual",
            OwnDomain,
        ),
        (
            "bucket",
            "https://oss-cn-beijing.aliyuncs.com",
            "auto",
            VirtualHosted,
        ),
        ("bucket", "http://127.0.0.1:9000", "", Path),
        ("bucket", "https://minio.example.com", "", Path),
        (
            "bucket",
            "https://minio.example.com",
            "virtual",
            VirtualHosted,
        ),
        ("bucket", "https://minio.example.com", "domain", OwnDomain),
        (
            "bucket",
            "https://id.r2.cloudflarestorage.com/bucket",
            "",
            OwnDomain,
        ),
        (
            "bucket",
            "https://id.r2.cloudflarestorage.com/bucket/",
            "",
            OwnDomain,
        ),
        ("bucket", "https://example.com/s3", "", Path),
        // By chance.
        ("minio", "https://minio.example.com", "path", Path),
        ("minio", "https://minio2.example.com", "", Path),
    ] {
        let config = bucket(&[
            ("ARCHIVE_URL", &format!("s3://{bucket_name}/x")),
            ("AWS_ENDPOINT_URL_S3", endpoint),
            ("AWS_S3_ADDRESSING_STYLE", style),
        ]);
        assert_eq!(
            config.addressing, expected,
            "{bucket_name} {endpoint} {style}"
        );
    }
    for (url, endpoint) in [
        ("s3://my.bucket", "https://minio.example.com"),
        ("s3://bucket", "http://127.0.0.1:9000"),
        ("s3://bucket", "http://[::1]:9000"),
    ] {
        check_wrong(
            &[
                ("ARCHIVE_URL", url),
                ("AWS_ENDPOINT_URL_S3", endpoint),
                ("AWS_S3_ADDRESSING_STYLE", "virtual"),
            ],
            &["AWS_S3_ADDRESSING_STYLE: "],
        );
    }
    let own = bucket(&[
        ("ARCHIVE_URL", "oss://bucket/x?region=cn-beijing"),
        ("AWS_ENDPOINT_URL_S3", "https://consoles.example.com"),
        ("AWS_S3_ADDRESSING_STYLE", "domain"),
    ]);
    assert_eq!(own.addressing, OwnDomain);
}

#[test]
fn every_partition_of_aws_is_aws() {
    for endpoint in [
        "https://s3.cn-north-1.amazonaws.com.cn",
        "https://s3.us-gov-west-1.amazonaws.com",
        "https://s3.us-iso-east-1.c2s.ic.gov",
        "https://s3.us-isob-east-1.sc2s.sgov.gov",
        "https://s3.eusc-de-east-1.amazonaws.eu",
        "https://s3.dualstack.us-east-1.amazonaws.com",
        "https://vpce-1-2.s3.us-east-1.vpce.amazonaws.com",
    ] {
        let config = bucket(&[("AWS_ENDPOINT_URL_S3", endpoint)]);
        assert_eq!(config.profile, Profile::Aws, "{endpoint}");
    }
    for endpoint in [
        "https://amazonaws.com.cn.example.com",
        "https://s3.myamazonaws.com",
    ] {
        let config = bucket(&[("AWS_ENDPOINT_URL_S3", endpoint)]);
        assert_eq!(config.profile, Profile::Basic, "{endpoint}");
    }
}

#[test]
fn encryption_is_in_the_words_of_the_store() {
    let key_id = Some("key-1".to_owned());
    let config = bucket(&[
        ("AWS_SERVER_SIDE_ENCRYPTION", "aws:kms"),
        ("AWS_SSE_KMS_KEY_ID", "key-1"),
    ]);
    let method = EncryptionMethod::Kms;
    let kms = Some(Encryption {
        method,
        kms_key_id: key_id,
    });
    assert_eq!(config.encryption, kms);
    assert_eq!(bucket(&[]).encryption, None);
    let oss = ("ARCHIVE_URL", "oss://bucket/x?region=cn-beijing");
    let config = bucket(&[oss, ("AWS_SERVER_SIDE_ENCRYPTION", "SM4")]);
    assert_eq!(config.encryption.unwrap().method, EncryptionMethod::Sm4);
    check_wrong(
        &[
            ("AWS_SERVER_SIDE_ENCRYPTION", "AES256"),
            ("AWS_SSE_KMS_KEY_ID", "key-1"),
        ],
        &["AWS_SSE_KMS_KEY_ID: AES256 takes no KMS key"],
    );
    check_wrong(
        &[
            ("AWS_SERVER_SIDE_ENCRYPTION", "aws:kms"),
            ("AWS_SSE_KMS_KEY_ID", "key 1"),
        ],
        &["AWS_SSE_KMS_KEY_ID: expected"],
    );
    check_wrong(
        &[oss, ("AWS_SERVER_SIDE_ENCRYPTION", "aws:kms:dsse")],
        &["AWS_SERVER_SIDE_ENCRYPTION: "],
    );
}
