//! What actions are called: lines have them in the past (`created`), the API as kind and verb
//! (`user.create`).

/// Actions as lines have them, and their verbs. What is not here is called the same in both.
const VERBS: [(&str, &str); 24] = [
    ("created", "create"),
    ("edited", "edit"),
    ("deleted", "delete"),
    ("enabled", "enable"),
    ("disabled", "disable"),
    ("banned", "ban"),
    ("imported", "import"),
    ("exported", "export"),
    ("revealed", "reveal"),
    ("rotated", "rotate"),
    ("restored", "restore"),
    ("applied", "apply"),
    ("requested", "run"),
    ("acknowledged", "acknowledge"),
    ("resolved", "resolve"),
    ("reset", "reset"),
    ("revoked", "revoke"),
    ("invited", "invite"),
    ("registered", "register"),
    ("suspended", "suspend"),
    ("lifted", "lift"),
    ("verified", "verify"),
    ("signed_out", "logout"),
    ("signed_in", "login"),
];
/// The kind of these verbs, whatever they are done to.
const OF_AUTH: [&str; 2] = ["login", "logout"];
const AUTH: &str = "auth";
const USER: &str = "user";

/// The action of a line as the API calls it.
pub(super) fn action(subject: &str, action: &str) -> String {
    let verb = VERBS.iter().find(|(past, _)| *past == action).map_or(action, |(_, verb)| verb);
    let kind = if subject == USER && OF_AUTH.contains(&verb) { AUTH } else { subject };
    format!("{kind}.{verb}")
}

/// The subject and the action of lines of what the API calls so; none where it has no dot.
pub(super) fn stored(action: &str) -> Option<(&str, &str)> {
    let (kind, verb) = action.split_once('.')?;
    let past = VERBS.iter().find(|(_, known)| *known == verb).map_or(verb, |(past, _)| past);
    let subject = if kind == AUTH && OF_AUTH.contains(&verb) { USER } else { kind };
    Some((subject, past))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_found_by_what_it_is_called() {
        for (subject, past, called) in [
            ("upstream", "edited", "upstream.edit"),
            ("user", "signed_in", "auth.login"),
            ("auth", "login_failed", "auth.login_failed"),
            ("provider_key", "revealed", "provider_key.reveal"),
        ] {
            assert_eq!(action(subject, past), called);
            assert_eq!(stored(called), Some((subject, past)));
        }
        assert_eq!(stored("edited"), None);
    }
}
