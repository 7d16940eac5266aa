//! Notices that a caller refuses the serving certificate, because it trusts another one.

use std::io;

use rustls::AlertDescription;
use tokio::sync::Notify;

/// Passes on that the certificate was refused. Anybody who can connect can refuse it, so this is a hint, not a fact.
#[derive(Debug, Default)]
pub struct Distrust {
    noted: Notify,
}

// === impl Distrust ===

impl Distrust {
    /// Records that the certificate was refused.
    pub fn note(&self) {
        self.noted.notify_one();
    }

    /// Passes on an error of a handshake, if the caller ended it because of the certificate.
    ///
    /// Go, in which the API server is written, sends `bad_certificate` for every certificate that it cannot verify
    /// (crypto/tls, `verifyServerCertificate`); other libraries are more exact.
    pub(super) fn handshake_failed(&self, error: &io::Error) {
        let alert = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let refused = matches!(
            alert,
            Some(rustls::Error::AlertReceived(
                AlertDescription::BadCertificate
                    | AlertDescription::UnknownCA
                    | AlertDescription::CertificateExpired
                    | AlertDescription::CertificateUnknown
            ))
        );
        if refused {
            self.note();
        }
    }

    /// Waits until the certificate is refused; a refusal before the call that nobody waited for counts.
    pub(super) async fn noted(&self) {
        self.noted.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    async fn is_noted(error: io::Error) -> bool {
        let distrust = Distrust::default();
        distrust.handshake_failed(&error);
        timeout(Duration::from_millis(20), distrust.noted()).await.is_ok()
    }

    #[tokio::test]
    async fn only_a_refused_certificate_counts() {
        let alert = |alert| io::Error::other(rustls::Error::AlertReceived(alert));
        assert!(is_noted(alert(AlertDescription::BadCertificate)).await);
        assert!(is_noted(alert(AlertDescription::UnknownCA)).await);
        assert!(!is_noted(alert(AlertDescription::ProtocolVersion)).await);
        assert!(!is_noted(io::ErrorKind::UnexpectedEof.into()).await);
    }
}
