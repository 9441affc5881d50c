//! People: users, roles, sessions, and what guards the door.

use sea_orm_migration::{prelude::*, schema::*};

use crate::{index, unique};

/// Makes these tables.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(users()).await?;
        manager.create_index(unique("users", &["name_key"])).await?;
        manager.create_index(index("users", &["revision"])).await?;
        manager.create_table(roles()).await?;
        manager.create_table(sessions()).await?;
        manager.create_index(index("sessions", &["user_id"])).await?;
        manager.create_index(index("sessions", &["expires_us"])).await?;
        manager.create_table(refresh_tokens()).await?;
        manager.create_index(index("refresh_tokens", &["session_id"])).await?;
        manager.create_table(login_throttle()).await?;
        manager.create_index(index("login_throttle", &["last_us"])).await?;
        manager.create_table(setup_token()).await?;
        Ok(())
    }
}

fn users() -> TableCreateStatement {
    Table::create()
        .table("users")
        .col(big_integer("id").primary_key())
        .col(text("name"))
        .col(text("name_key"))
        .col(text_null("email"))
        .col(text("role"))
        .col(text_null("password_hash"))
        .col(big_integer("epoch"))
        .col(boolean("active"))
        .col(big_integer("created_us"))
        .col(big_integer("updated_us"))
        .col(big_integer("revision"))
        .to_owned()
}

fn roles() -> TableCreateStatement {
    Table::create()
        .table("roles")
        .col(text("name").primary_key())
        .col(text("permissions"))
        .to_owned()
}

fn sessions() -> TableCreateStatement {
    Table::create()
        .table("sessions")
        .col(uuid("id").primary_key())
        .col(big_integer("user_id"))
        .col(big_integer("epoch"))
        .col(big_integer("opened_us"))
        .col(big_integer("expires_us"))
        .col(big_integer_null("ended_us"))
        .foreign_key(
            ForeignKey::create()
                .from("sessions", "user_id")
                .to("users", "id")
                .on_delete(ForeignKeyAction::Cascade),
        )
        .to_owned()
}

fn refresh_tokens() -> TableCreateStatement {
    Table::create()
        .table("refresh_tokens")
        .col(blob("digest").primary_key())
        .col(uuid("session_id"))
        .col(big_integer("expires_us"))
        .col(big_integer_null("spent_us"))
        .foreign_key(
            ForeignKey::create()
                .from("refresh_tokens", "session_id")
                .to("sessions", "id")
                .on_delete(ForeignKeyAction::Cascade),
        )
        .to_owned()
}

fn login_throttle() -> TableCreateStatement {
    Table::create()
        .table("login_throttle")
        .col(text("scope").primary_key())
        .col(big_integer("failures"))
        .col(big_integer("last_us"))
        .to_owned()
}

fn setup_token() -> TableCreateStatement {
    Table::create()
        .table("setup_token")
        .col(big_integer("id").primary_key())
        .col(blob("digest"))
        .col(big_integer("expires_us"))
        .to_owned()
}
