//! A provider sends the client elsewhere: its SDK would follow, and hand the prompt to another host.

use domain::{Provider, log::Outcome};

use crate::{
    conversion::of,
    harness::{Setup, chat},
    vendor::{Vendor, answer, said},
};

const ELSEWHERE: &str = "location: https://elsewhere.test/v1/chat/completions";

#[tokio::test]
async fn a_redirect_on_a_model_route_is_a_failure_in_words() {
    for status in [301, 302, 303, 307, 308] {
        for (path, body) in [
            ("/v1/chat/completions", chat("m")),
            (
                "/v1/messages",
                r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"x"}]}"#
                    .to_owned(),
            ),
            ("/v1/moderations", r#"{"model":"m","input":"x"}"#.to_owned()),
        ] {
            let vendor = Vendor::saying(answer(status, &[ELSEWHERE], "moved")).await;
            let mut setup = Setup::new();
            setup.upstream("up", vendor.addr, &["sk-1"], |up| {
                of(Provider::Custom)(up);
                up.retry_count = 2;
                // Whatever `/proxy/` may do.
                up.policy.pass_redirects = true;
            });
            let hall = setup.start().await;
            let reply = hall.ask(hall.post(path, &body)).await;
            assert_eq!(reply.status, 502, "{path} {status}");
            assert_eq!(reply.header("location"), None);
            let told = reply.text();
            assert!(told.contains(&format!("a redirect ({status})")), "{told}");
            assert!(!told.contains("elsewhere") && !told.contains("moved"), "{told}");
            assert_eq!(vendor.seen().len(), 1, "asking again changes nothing");
            let entry = hall.entry().await;
            assert_eq!((entry.outcome, entry.status), (Outcome::Failed, 502));
            assert_eq!(entry.attempts[0].status, Some(status));
            assert_eq!(entry.attempts[0].result, "redirected");
        }
    }
}

#[tokio::test]
async fn another_target_answers_where_one_redirects() {
    let moved = Vendor::saying(answer(308, &[ELSEWHERE], "")).await;
    let good = Vendor::saying(said("here")).await;
    let mut setup = Setup::new();
    let one = setup.upstream("one", moved.addr, &["sk-1"], |_| {});
    let two = setup.upstream("two", good.addr, &["sk-2"], |_| {});
    setup.route("m", &[(one, None), (two, None)]);
    let hall = setup.start().await;
    let reply = hall.ask(hall.post("/v1/chat/completions", &chat("m"))).await;
    assert_eq!((reply.status, reply.text().contains("here")), (200, true));
    assert_eq!((moved.seen().len(), good.seen().len()), (1, 1));
}

#[tokio::test]
async fn redirects_under_proxy_pass_where_the_upstream_says_so() {
    for pass in [false, true] {
        let vendor = Vendor::saying(answer(307, &[ELSEWHERE], "moved")).await;
        let mut setup = Setup::new();
        setup.upstream("up", vendor.addr, &["sk-1"], |up| up.policy.pass_redirects = pass);
        let hall = setup.start().await;
        let reply = hall.ask(hall.request("GET", "/proxy/up/v1/files", &[], "")).await;
        if pass {
            assert_eq!((reply.status, reply.text()), (307, "moved"));
            assert!(reply.header("location").is_some());
        } else {
            assert_eq!((reply.status, reply.code().as_str()), (502, "upstream_redirected"));
            assert_eq!(reply.header("location"), None);
        }
    }
}

#[tokio::test]
async fn what_only_looks_like_a_redirect_passes() {
    // The answer to a conditional request, and how Google asks for more of an upload.
    for (status, path) in [(304, "/v1/files"), (308, "/upload/v1beta/files")] {
        let vendor = Vendor::saying(answer(status, &["range: bytes=0-9"], "")).await;
        let mut setup = Setup::new();
        setup.upstream("up", vendor.addr, &["sk-1"], |up| of(Provider::Gemini)(up));
        setup.upstream("chat", vendor.addr, &["sk-1"], |up| of(Provider::Custom)(up));
        let hall = setup.start().await;
        let mut peer = hall.connect().await;
        peer.send(hall.request("GET", path, &[], "")).await;
        assert_eq!(peer.reply_to("GET").await.status, status);
    }
}

#[tokio::test]
async fn a_redirect_does_not_say_that_a_key_is_accepted() {
    let vendor = Vendor::saying(answer(301, &[ELSEWHERE], "")).await;
    let hall = Setup::with(vendor.addr).start().await;
    let (upstream, key) = (domain::UpstreamId(1), domain::ProviderKeyId(101));
    let test = domain::live::Live::test_key(&*hall.gateway, upstream, key).await;
    assert_eq!((test.accepted, test.status), (None, Some(301)));
}
