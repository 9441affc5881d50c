//! `/api/admin/live`: the feed, over a real connection.

use std::time::Duration;

use auth::{Actor, Role};
use domain::UserId;
use futures_util::{SinkExt, StreamExt};
use management::serve;
use serde_json::{Value, json};
use store::UserEdit;
use tokio::{net::TcpListener, net::TcpStream, sync::oneshot, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, client::IntoClientRequest},
};

use crate::app::{App, PASSWORD, entry};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// How long a test waits for a message.
const PATIENCE: Duration = Duration::from_secs(20);

/// The plane on a port of its own until the end of the test.
struct Served {
    app: App,
    port: u16,
    stop: Option<oneshot::Sender<()>>,
}

impl Served {
    async fn start() -> Served {
        let app = App::start().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (stop, stopped) = oneshot::channel::<()>();
        let management = app.management.clone();
        tokio::spawn(async move {
            let stopped = async { stopped.await.unwrap_or_default() };
            serve(&management, listener, stopped).await.unwrap();
        });
        Served { app, port, stop: Some(stop) }
    }

    async fn token(&self, role: Role) -> String {
        let login = json!({"username": role.as_str(), "password": PASSWORD});
        let answer = self.app.anonymous().post("/api/auth/login", login).await.expect(200);
        answer["access_token"].as_str().unwrap().to_owned()
    }

    async fn open(&self, fields: &[(&'static str, String)]) -> Socket {
        let address = format!("ws://127.0.0.1:{}/api/admin/live", self.port);
        let mut request = address.into_client_request().unwrap();
        for (name, value) in fields {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        connect_async(request).await.unwrap().0
    }

    async fn watch(&self, role: Role) -> Socket {
        let bearer = format!("Bearer {}", self.token(role).await);
        let mut socket = self.open(&[("authorization", bearer)]).await;
        assert_eq!(told(&mut socket, "hello").await["user"], role.as_str());
        socket
    }
}

/// The next message of this type; those of others are passed over.
async fn told(socket: &mut Socket, kind: &str) -> Value {
    let wait = async {
        loop {
            let message = socket.next().await.expect("the feed goes on").unwrap();
            let Message::Text(text) = message else { panic!("{message:?}") };
            let message: Value = serde_json::from_str(&text).unwrap();
            if message["type"] == kind {
                return message;
            }
        }
    };
    timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("no {kind} came"))
}

/// The code with which the feed ends.
async fn end(socket: &mut Socket) -> u16 {
    let wait = async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Close(Some(frame)))) => return frame.code.into(),
                Some(Ok(_)) => {}
                other => panic!("no close frame came: {other:?}"),
            }
        }
    };
    timeout(PATIENCE, wait).await.expect("the feed ends")
}

async fn say(socket: &mut Socket, message: Value) {
    socket.send(Message::text(message.to_string())).await.unwrap();
}

#[tokio::test]
async fn calls_are_summed_each_second_and_told_as_they_end() {
    let served = Served::start().await;
    let mut socket = served.watch(Role::SuperAdmin).await;
    say(&mut socket, json!({"tail": {"errors": true}})).await;
    let first = told(&mut socket, "sample").await;
    assert_eq!((&first["requests"], &first["latency_ms"]), (&json!(0), &Value::Null));
    assert_eq!(first["keys"], json!({"active": 2, "cooling": 1}));
    assert_eq!(first["calls_in_flight"], 3);

    let mut failed = entry(1, UserId(1));
    (failed.status, failed.outcome) = (502, domain::log::Outcome::Failed);
    failed.path = "/failed".to_owned();
    served.app.log(&[entry(1, UserId(1)), failed]).await;
    let entries = told(&mut socket, "entries").await;
    let items = entries["items"].as_array().unwrap();
    assert_eq!((items.len(), &items[0]["path"]), (1, &json!("/failed")));
    // The figures went out before the calls that they sum up.
    served.app.log(&[entry(1, UserId(1))]).await;
    let sample = loop {
        let sample = told(&mut socket, "sample").await;
        if sample["requests"] != 0 {
            break sample;
        }
    };
    assert_eq!((&sample["requests"], &sample["errors"]), (&json!(1), &json!(0)));
    assert_eq!(sample["success_percent"], 100.0);
    assert!(sample["latency_ms"]["p99"].is_number() && sample["cost"].is_string(), "{sample}");
}

#[tokio::test]
async fn who_comes_back_with_a_cursor_gets_what_arrived_meanwhile() {
    let served = Served::start().await;
    let mut socket = served.watch(Role::SuperAdmin).await;
    let cursor = told(&mut socket, "sample").await["cursor"].clone();
    drop(socket);
    let mut calls: Vec<_> = (0..3).map(|_| entry(1, UserId(1))).collect();
    calls[1].origin.session = Some("s".to_owned());
    served.app.log(&calls).await;
    let mut socket = served.watch(Role::SuperAdmin).await;
    say(&mut socket, json!({"tail": {}, "cursor": cursor})).await;
    let entries = told(&mut socket, "entries").await;
    assert_eq!(entries["items"].as_array().unwrap().len(), 3);
    assert_eq!(entries["more"], false);
    say(&mut socket, json!({"tail": {"session": "s"}, "cursor": cursor})).await;
    assert_eq!(told(&mut socket, "entries").await["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_browser_shows_its_token_as_a_protocol_or_in_the_first_message() {
    let served = Served::start().await;
    let token = served.token(Role::Analyst).await;
    let protocols = format!("tollgate.live, tollgate.token.{token}");
    let mut socket = served.open(&[("sec-websocket-protocol", protocols)]).await;
    told(&mut socket, "hello").await;
    let mut socket = served.open(&[]).await;
    say(&mut socket, json!({"token": token})).await;
    told(&mut socket, "hello").await;
    for wrong in [json!({"token": "rubbish"}), json!({"tail": {}}), json!({})] {
        let mut socket = served.open(&[]).await;
        say(&mut socket, wrong).await;
        assert_eq!(end(&mut socket).await, 4401);
    }
    let mut socket = served.open(&[]).await;
    say(&mut socket, json!({"what": 1})).await;
    assert_eq!(end(&mut socket).await, 1008);
}

#[tokio::test]
async fn a_permission_that_is_taken_away_ends_the_feed() {
    let served = Served::start().await;
    let mut socket = served.watch(Role::Operator).await;
    let operator = served.app.signed_in(Role::Operator).await;
    let me = operator.get("/api/auth/me").await.expect(200)["id"].as_i64().unwrap();
    // Past this plane, as another instance would.
    let edit = UserEdit { active: Some(false), ..UserEdit::default() };
    served.app.store.edit_user(&Actor::System, UserId(me), edit).await.unwrap();
    assert_eq!(end(&mut socket).await, 4401);
}

#[tokio::test]
async fn who_sees_only_their_own_is_told_of_nobody_else() {
    let served = Served::start().await;
    let developer = served.app.signed_in(Role::Developer).await;
    let me = developer.get("/api/auth/me").await.expect(200)["id"].as_i64().unwrap();
    let mut socket = served.watch(Role::Developer).await;
    say(&mut socket, json!({"tail": {}})).await;
    told(&mut socket, "sample").await;
    let mut own = entry(1, UserId(me));
    own.path = "/own".to_owned();
    served.app.log(&[entry(1, UserId(999)), own]).await;
    let entries = told(&mut socket, "entries").await;
    let items = entries["items"].as_array().unwrap();
    assert_eq!((items.len(), &items[0]["path"]), (1, &json!("/own")));
    let sample = told(&mut socket, "sample").await;
    for hidden in ["keys", "calls_in_flight", "alerts"] {
        assert_eq!(sample[hidden], Value::Null);
    }
}

#[tokio::test]
async fn one_user_cannot_take_all_places_and_gives_back_what_it_leaves() {
    let served = Served::start().await;
    let token = served.token(Role::Analyst).await;
    let fields = [("authorization", format!("Bearer {token}"))];
    let mut viewers = Vec::new();
    for _ in 0..8 {
        let mut socket = served.open(&fields).await;
        told(&mut socket, "hello").await;
        viewers.push(socket);
    }
    let mut beyond = served.open(&fields).await;
    assert_eq!(end(&mut beyond).await, 1013);
    let mut other = served.watch(Role::SuperAdmin).await;
    told(&mut other, "sample").await;
    for mut viewer in viewers {
        viewer.close(None).await.unwrap();
        while viewer.next().await.is_some_and(|message| message.is_ok()) {}
    }
    let again = async {
        loop {
            let mut socket = served.open(&fields).await;
            let message = socket.next().await.unwrap().unwrap();
            if matches!(message, Message::Text(_)) {
                return;
            }
        }
    };
    timeout(PATIENCE, again).await.expect("there is room again");
}

#[tokio::test]
async fn the_feed_ends_with_the_plane() {
    let mut served = Served::start().await;
    let mut socket = served.watch(Role::SuperAdmin).await;
    served.stop.take().unwrap().send(()).unwrap();
    assert_eq!(end(&mut socket).await, 1001);
}

#[tokio::test]
async fn a_request_that_opens_no_socket_is_refused() {
    let served = Served::start().await;
    let plain = served.app.admin().await.get("/api/admin/live").await;
    assert!(plain.status.is_client_error(), "{plain:?}");
}
