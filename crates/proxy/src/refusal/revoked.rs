//! Why a call that was let in may not go on.

use domain::KeyFault;

/// Why a call may not go on. The texts fit the reason of a WebSocket's close frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Revoked {
    #[error("the service key was deleted or rotated")]
    KeyGone,
    #[error("the service key {}", .0.words())]
    KeyRefused(KeyFault),
    #[error("the service key is not accepted {0}")]
    KeptOut(&'static str),
    #[error("the service key may no longer use this upstream")]
    UpstreamForbidden,
    #[error("the service key may no longer ask for this model")]
    ModelForbidden,
    #[error("the upstream was deleted or switched off")]
    UpstreamOff,
    #[error("the gateway restarts; connect again")]
    Draining,
    #[error("the provider key of this call was withdrawn; another call gets another one")]
    ProviderKey,
}

impl Revoked {
    /// The HTTP status of the same fact.
    pub(crate) fn status(self) -> u16 {
        match self {
            Revoked::KeyGone | Revoked::KeyRefused(_) => 401,
            Revoked::UpstreamOff | Revoked::ProviderKey | Revoked::Draining => 503,
            _ => 403,
        }
    }

    /// The code of the close frame (RFC 6455, 7.4.1, and IANA's registry): 1008 where the caller may
    /// not go on, 1012 where the same caller is served again when it connects anew.
    pub(crate) fn close_code(self) -> u16 {
        match self {
            Revoked::UpstreamOff | Revoked::ProviderKey | Revoked::Draining => 1012,
            _ => 1008,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_fit_a_close_frame() {
        for why in [
            Revoked::KeyGone,
            Revoked::KeyRefused(KeyFault::Disabled),
            Revoked::KeptOut("from this address"),
            Revoked::UpstreamForbidden,
            Revoked::ModelForbidden,
            Revoked::UpstreamOff,
            Revoked::Draining,
            Revoked::ProviderKey,
        ] {
            assert!(why.to_string().len() <= 123, "{why}");
        }
    }
}
