//! `tollgate admin`: creates an administrator or resets a password without the management plane,
//! for users who locked themselves out.

use std::io::{self, BufRead};

use anyhow::{Context, bail};
use auth::{Actor, Passwords, Role};
use secrecy::SecretString;
use store::{NewUser, Store, UserEdit};

use crate::{
    cli::{AdminArgs, AdminCommand},
    config::{Config, Flags},
    serve::opened,
    words::remark,
};

/// Runs the command with the password from standard input.
pub(crate) fn run(command: AdminCommand) -> anyhow::Result<()> {
    let (args, create) = match command {
        AdminCommand::Create(args) => (args, true),
        AdminCommand::ResetPassword(args) => (args, false),
    };
    let AdminArgs { name, config } = args;
    let config = Config::load(Flags::from(config))?;
    let password = read_password(&name)?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let (store, master_key) = opened(&config).await?;
        let done = async {
            let hash = master_key.passwords().hash(&password)?;
            match create {
                true => make(&store, &name, hash).await,
                false => reset(&store, &name, hash).await,
            }
        };
        let done = done.await;
        store.close().await;
        remark(&done?);
        Ok(())
    })
}

/// Creates an administrator; returns the message.
async fn make(store: &Store, name: &str, hash: String) -> anyhow::Result<String> {
    let new = NewUser {
        name: name.to_owned(),
        email: None,
        role: Role::SuperAdmin,
        password_hash: Some(hash),
    };
    store.create_user(&Actor::System, new).await?;
    Ok(format!("made the administrator `{name}`"))
}

/// Sets a new password; returns the message.
async fn reset(store: &Store, name: &str, hash: String) -> anyhow::Result<String> {
    let user = store.credentials(name).await?;
    let user = user.with_context(|| format!("there is no user `{name}`"))?;
    let edit = UserEdit { password_hash: Some(hash), active: Some(true), ..UserEdit::default() };
    store.edit_user(&Actor::System, user.user.id, edit).await?;
    Ok(format!("`{name}` has a new password; all their sessions have ended"))
}

fn read_password(name: &str) -> anyhow::Result<SecretString> {
    if io::IsTerminal::is_terminal(&io::stdin()) {
        remark("the new password, then Enter (it is shown; better: tollgate admin … < file):");
    }
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    let password = SecretString::from(line.trim_end_matches(['\r', '\n']));
    let faults = Passwords::faults(name, &password);
    if !faults.0.is_empty() {
        bail!("the password is not accepted: {faults}");
    }
    Ok(password)
}
