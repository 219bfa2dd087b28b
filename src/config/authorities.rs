//! Settings → certificate authorities that are trusted besides the built-in ones.

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::{Environment, Problems};

/// Settings with a file of further authorities: the AWS SDKs' and OpenSSL's. Both are read, because
/// people set either.
const CA_FILES: [&str; 2] = ["AWS_CA_BUNDLE", "SSL_CERT_FILE"];

/// `None` for an invalid setting.
pub(super) fn extra_roots(
    environment: &Environment,
    problems: &mut Problems,
) -> Option<Vec<CertificateDer<'static>>> {
    let mut extra_roots: Vec<CertificateDer<'static>> = Vec::new();
    let mut is_right = true;
    for name in CA_FILES {
        let Some(path) = environment.get(name) else {
            continue;
        };
        match problems.note(name, certificates(path)) {
            Some(roots) => {
                for root in roots {
                    // Both settings often name the same file.
                    if !extra_roots.contains(&root) {
                        extra_roots.push(root);
                    }
                }
            }
            None => is_right = false,
        }
    }
    is_right.then_some(extra_roots)
}

/// The certificates of a PEM file that can be roots. Others are skipped, because a system's bundle
/// may contain some. A file without any root is an error.
fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = std::fs::read(path).map_err(|error| format!("{path:?} cannot be read: {error}"))?;
    let can_be_root =
        |root: &CertificateDer<'static>| RootCertStore::empty().add(root.clone()).is_ok();
    let found = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok);
    let roots: Vec<_> = found.filter(can_be_root).collect();
    if roots.is_empty() {
        return Err(format!(
            "{path:?} has no certificate; expected a PEM file with the certificate of an authority"
        ));
    }
    Ok(roots)
}
