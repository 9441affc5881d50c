//! One try at one target with one provider key: connect, send, and wait until there is an answer.
//!
//! An answer begins with its first event. A status that means failure, a stream that begins with
//! an error, and nothing at all are no answers: they come back as [`Failed`], with whose fault it was.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use dialect::{Coding, First, Form, ObserverOptions, StreamObserver};
use domain::{Upstream, Verdict};
use pingora_timeout::timeout;

use crate::{
    attempt::{
        failed::{Cause, Failed, reset},
        outbound::Outgoing,
        upload::{Upload, UploadFault},
        watch::Watch,
    },
    client::Client,
    clock::Clock,
    door::Door,
    http1::{Conn, Decoder, Framing, Piece, ReadError, Reader, ResponseHead, Writer},
    pool::{
        balancer::Slot,
        line::{Connector, Line},
    },
    refusal::Refusal,
    request::inbound::Call,
};

/// Largest head of an answer, and most fields in it.
const HEAD_MAX: usize = 64 << 10;
const FIELDS_MAX: usize = 256;
/// Interim answers (1xx) before the real one.
const INTERIM_MAX: usize = 8;
/// How long a provider that stopped reading may take to say why.
const LAST_WORD: Duration = Duration::from_millis(500);
/// How often a connection that waited too long may turn out to be dead.
const STALE_MAX: usize = 4;
/// Past so much without a first event, what came is passed on as it is.
const UNTOLD_MAX: usize = 256 << 10;

/// An answer that began well.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: ResponseHead,
    /// The body on its way here.
    pub(crate) incoming: Incoming,
    /// What of the request is still on its way to the provider.
    pub(crate) upload: Upload,
    pub(crate) wr: Writer,
    pub(crate) line: Arc<Line>,
    hides_usage: bool,
    /// It came compressed unasked and goes on unpacked.
    pub(crate) unpacks: bool,
    /// What it was taken for, where it tells of a failure that is the client's own.
    pub(crate) verdict: Option<Box<Verdict>>,
}

/// The body of an answer on its way here.
#[derive(Debug)]
pub(crate) struct Incoming {
    /// Listens to the body as it passes.
    pub(crate) observer: StreamObserver,
    /// What is here already, as it goes to the client.
    pub(crate) ready: Vec<Bytes>,
    pub(crate) rd: Reader,
    decoder: Decoder,
    finished: bool,
    idle: Duration,
    /// When all of this must be over.
    deadline: Instant,
    /// What rules look at, where one does.
    pub(crate) watch: Option<Box<Watch>>,
}

/// Where and with what one attempt is made.
pub(crate) struct Try<'a> {
    pub(crate) connector: &'a Connector,
    pub(crate) clock: &'a Clock,
    pub(crate) line: &'a Arc<Line>,
    pub(crate) upstream: &'a Upstream,
    pub(crate) slot: Option<&'a Slot>,
    pub(crate) outgoing: &'a Outgoing,
    /// When all of the call must be over, and when its answer must have begun.
    pub(crate) deadline: Instant,
    pub(crate) answer_by: Instant,
    /// The answer is to be said again in another dialect: it is not read on the side.
    pub(crate) converts: bool,
}

/// How an exchange on one connection failed.
enum Broken {
    /// The connection was dead before a byte of the answer: another one may not be.
    Stale,
    Failed(Failed),
}

impl Try<'_> {
    /// Makes the attempt.
    pub(crate) async fn run(&self, client: &mut Client<'_>, call: &Call) -> Result<Answer, Failed> {
        for _ in 0..STALE_MAX {
            let Some(conn) = self.connector.take(self.line) else { break };
            match self.exchange(conn, client, call).await {
                // A body that went out and is not held cannot go out again.
                Err(Broken::Stale) if client.bytes_in == call.begun() || call.repeatable() => {}
                Err(Broken::Stale) => return Err(reset()),
                Err(Broken::Failed(failed)) => return Err(failed),
                Ok(answer) => return Ok(answer),
            }
        }
        let within = self.upstream.timeouts.connect.min(self.left());
        let connect = self.connector.connect(self.line, within);
        let conn = tokio::select! {
            biased;
            conn = connect => conn?,
            () = client.gone(), if client.body_done() => {
                return Err(Failed::client(Refusal::ClientGone).unasked());
            }
        };
        match self.exchange(conn, client, call).await {
            Ok(answer) => Ok(answer),
            Err(Broken::Stale) => Err(reset()),
            Err(Broken::Failed(failed)) => Err(failed),
        }
    }

    /// Sends the call on `conn` and waits for the beginning of the answer.
    async fn exchange(
        &self,
        mut conn: Conn,
        client: &mut Client<'_>,
        call: &Call,
    ) -> Result<Answer, Broken> {
        let mut upload = Upload::new(self.outgoing, call, client.head.chunked);
        let head = self.first_byte(&mut conn, client, &mut upload).await?;
        if head.status == 101 && !call.websocket {
            let words = "the provider switched protocols unasked";
            return Err(Broken::Failed(Failed::upstream(Cause::Reset, words)));
        }
        if redirects(&head) && !(self.upstream.policy.pass_redirects && is_opaque(call)) {
            return Err(Broken::Failed(Failed::redirected(head.status)));
        }
        let framing = framing(&head, &self.outgoing.method);
        let (grammar, form) = match &call.door {
            _ if self.converts => (dialect::PLAIN, Form::Opaque),
            Door::Opaque { .. } => (dialect::PLAIN, form(&head)),
            door => (door.grammar(), form(&head)),
        };
        if self.converts && is_coded(&head) && coding(&head).is_none() {
            let words = "the provider's answer is compressed in a way that is not known here";
            return Err(Broken::Failed(Failed::upstream(Cause::Coding, words)));
        }
        let hides_usage = form == Form::Sse && self.outgoing.asks_usage;
        let observer =
            StreamObserver::new(grammar, ObserverOptions { form, hide_usage_event: hides_usage });
        // Where we asked for a plain answer the client gets one, whatever the provider does.
        let coding = coding(&head).filter(|_| self.converts || form != Form::Opaque);
        let unpacks = coding.is_some()
            && matches!(call.door, Door::Model(_))
            && !matches!(framing, Framing::Empty);
        let observer = match coding {
            Some(coding) if unpacks => observer.unpacking(coding),
            Some(coding) => observer.reading_through(coding),
            None => observer,
        };
        let Conn { rd, wr } = conn;
        let mut incoming = Incoming {
            observer,
            ready: Vec::new(),
            rd,
            decoder: Decoder::new(framing),
            finished: false,
            idle: self.upstream.timeouts.idle,
            deadline: self.deadline,
            watch: None,
        };
        if incoming.decoder.is_done() {
            incoming.finish();
        }
        let line = self.line.clone();
        let mut answer =
            Answer { head, incoming, upload, wr, line, hides_usage, unpacks, verdict: None };
        if answer.head.status >= 400 {
            answer = self.judged(answer, is_opaque(call)).await.map_err(Broken::Failed)?;
        }
        let readable = form != Form::Opaque || (call.model.is_some() && answer.incoming.finished);
        let telling = answer.head.status == 200 && self.outgoing.method != "HEAD";
        if matches!(call.door, Door::Model(_)) && telling && readable && !self.converts {
            self.first_event(&mut answer, client, call).await.map_err(Broken::Failed)?;
        }
        Ok(answer)
    }

    /// Sends the call and reads the head of the answer, whichever comes first: a provider may
    /// answer before it has read everything. The time for the first byte begins anew with every
    /// step of an upload.
    async fn first_byte(
        &self,
        conn: &mut Conn,
        client: &mut Client<'_>,
        upload: &mut Upload,
    ) -> Result<ResponseHead, Broken> {
        if !upload.source_is_dry() {
            let told = client.go_ahead().await;
            told.map_err(|refusal| Broken::Failed(Failed::client(refusal)))?;
        }
        let (rd, wr) = (&mut conn.rd, &mut conn.wr);
        let head = read_head(rd);
        tokio::pin!(head);
        loop {
            let next = async {
                tokio::select! {
                    biased;
                    head = &mut head => Ok(head),
                    step = upload.step(client, wr) => Err(step),
                }
            };
            match timeout(self.patience(), next).await {
                Err(_) => return Err(Broken::Failed(Failed::too_slow())),
                Ok(Ok(head)) => return head,
                Ok(Err(Ok(()))) => {}
                Ok(Err(Err(UploadFault::Client(refusal)))) => {
                    return Err(Broken::Failed(Failed::client(refusal)));
                }
                Ok(Err(Err(UploadFault::Provider))) => {
                    let last_word = timeout(LAST_WORD, &mut head).await;
                    return last_word.unwrap_or(Err(Broken::Stale));
                }
            }
        }
    }

    /// Waits for the first event of a stream, or the first of a JSON body.
    async fn first_event(
        &self,
        answer: &mut Answer,
        client: &mut Client<'_>,
        call: &Call,
    ) -> Result<(), Failed> {
        let status = Some(answer.head.status);
        let wait = async {
            loop {
                match answer.incoming.observer.first() {
                    First::Pending if answer.incoming.waiting() > UNTOLD_MAX => return Ok(()),
                    First::Pending => {}
                    First::Content => return Ok(()),
                    // Whoever asked for no model may well get nothing.
                    First::Empty if call.model.is_none() => return Ok(()),
                    First::Empty => {
                        let failed =
                            Failed::upstream(Cause::Empty, "the provider's answer was empty");
                        return Err(Failed { status, ..failed });
                    }
                    First::Error(error) => {
                        return self.said_error(error, status).map_or(Ok(()), Err);
                    }
                }
                let Answer { incoming, upload, wr, .. } = &mut *answer;
                let next = tokio::select! {
                    biased;
                    next = incoming.pull() => next,
                    step = upload.step(client, wr) => match step {
                        Err(UploadFault::Client(refusal)) => return Err(Failed::client(refusal)),
                        Err(UploadFault::Provider) => incoming.pull().await,
                        Ok(()) => continue,
                    },
                };
                if next.is_err() {
                    return Err(Failed { status, ..reset() });
                }
            }
        };
        match timeout(self.patience(), wait).await {
            Ok(result) => result,
            Err(_) => Err(Failed { status, ..Failed::too_slow() }),
        }
    }

    /// Keeps the connection of an answer that is read, where it may carry another call. Gives the
    /// head of the answer.
    pub(crate) fn keep(&self, answer: Answer) -> ResponseHead {
        let (head, conn) = answer.into_parts();
        if let Some(conn) = conn {
            self.connector.give_back(self.line, conn);
        }
        head
    }

    /// How long the beginning of an answer may take from here.
    pub(crate) fn patience(&self) -> Duration {
        self.upstream.timeouts.first_byte.min(self.left())
    }

    fn left(&self) -> Duration {
        self.answer_by.saturating_duration_since(Instant::now())
    }
}

impl Incoming {
    /// Reads the next of the body into `ready`; false at its end. May be dropped at any time.
    pub(crate) async fn pull(&mut self) -> Result<bool, ReadError> {
        if self.finished {
            return Ok(false);
        }
        let left = self.deadline.saturating_duration_since(Instant::now());
        let read = self.rd.body(&mut self.decoder);
        let piece = match timeout(self.idle.min(left), read).await {
            Ok(piece) => piece?,
            Err(_) => return Err(ReadError::TimedOut),
        };
        let seen = self.ready.len();
        let Some(piece) = piece else {
            self.finish();
            self.show(seen);
            return Ok(false);
        };
        self.observer.push(piece, &mut self.ready);
        // More that arrived with it goes out with it.
        while let Piece::Data(more) = self.decoder.next(&mut self.rd.buf)? {
            self.observer.push(more, &mut self.ready);
        }
        if self.decoder.is_done() {
            self.finish();
        }
        self.show(seen);
        Ok(true)
    }

    /// Lets `watch` see the body, what is here already included.
    pub(crate) fn watch(&mut self, watch: Watch) {
        self.watch = Some(Box::new(watch));
        self.show(0);
    }

    fn show(&mut self, from: usize) {
        if let Some(watch) = &mut self.watch {
            self.ready[from..].iter().for_each(|piece| watch.see(piece));
        }
    }

    fn finish(&mut self) {
        if !self.finished {
            self.finished = true;
            self.observer.finish(&mut self.ready);
        }
    }

    /// How long nothing may come.
    pub(crate) fn idle(&self) -> Duration {
        self.idle
    }

    /// When all of this must be over.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Why the answer ends in its middle, where reading on met `error`.
    pub(crate) fn broke(&self, error: &ReadError) -> Refusal {
        match error {
            ReadError::TimedOut if self.deadline <= Instant::now() => Refusal::TookTooLong,
            ReadError::TimedOut => Refusal::FellSilent,
            _ => Refusal::BrokeOff,
        }
    }

    /// Whether the body is here to its end.
    pub(crate) fn is_finished(&self) -> bool {
        self.finished
    }

    /// Whether nothing but the end of the connection told that this was all, and the dialect says
    /// that it was not.
    pub(crate) fn was_cut_off(&self) -> bool {
        self.finished && self.decoder.ends_with_connection() && !self.observer.complete()
    }

    /// How many bytes wait to go to the client.
    pub(crate) fn waiting(&self) -> usize {
        self.ready.iter().map(Bytes::len).sum()
    }
}

impl Answer {
    /// How the end of the body is told to the client.
    pub(crate) fn framing(&self) -> Framing {
        match self.head.content_length {
            _ if self.hides_usage || self.unpacks => Framing::Chunked,
            Some(length) => Framing::Length(length),
            None if self.incoming.finished && !self.head.chunked => Framing::Empty,
            None => Framing::Chunked,
        }
    }

    /// The connection, if it may carry another call.
    pub(crate) fn into_reusable(self) -> Option<Conn> {
        self.into_parts().1
    }

    /// The head, and the connection if it may carry another call.
    fn into_parts(self) -> (ResponseHead, Option<Conn>) {
        let Incoming { rd, decoder, .. } = self.incoming;
        let reusable = decoder.is_done()
            && self.head.keeps_alive()
            && self.upload.is_done()
            && rd.buf.is_empty();
        (self.head, reusable.then_some(Conn { rd, wr: self.wr }))
    }
}

async fn read_head(rd: &mut Reader) -> Result<ResponseHead, Broken> {
    for _ in 0..=INTERIM_MAX {
        let fresh = rd.buf.is_empty();
        let raw = match rd.head_now(HEAD_MAX).await {
            Ok(raw) => raw,
            Err(ReadError::Closed | ReadError::Io(_)) if fresh && rd.buf.is_empty() => {
                return Err(Broken::Stale);
            }
            Err(_) => return Err(Broken::Failed(reset())),
        };
        let head = ResponseHead::parse(raw, FIELDS_MAX).map_err(|bad| {
            Broken::Failed(Failed::upstream(
                Cause::Reset,
                format!("the provider's answer is malformed: {bad}"),
            ))
        })?;
        if head.status == 101 || head.status >= 200 {
            return Ok(head);
        }
    }
    Err(Broken::Failed(Failed::upstream(
        Cause::Reset,
        "the provider sent too many interim answers",
    )))
}

/// Whether an answer sends the client elsewhere. 308 without an address is how Google says that more
/// of an upload is to come.
fn redirects(head: &ResponseHead) -> bool {
    match head.status {
        308 => head.get("location").is_some(),
        status => matches!(status, 300..=303 | 305..=307),
    }
}

fn is_opaque(call: &Call) -> bool {
    matches!(call.door, Door::Opaque { .. })
}

/// How the body of an answer ends.
fn framing(head: &ResponseHead, method: &str) -> Framing {
    if method == "HEAD" || matches!(head.status, 101 | 204 | 304) {
        return Framing::Empty;
    }
    match (head.chunked, head.content_length) {
        (true, _) => Framing::Chunked,
        (false, Some(length)) => Framing::Length(length),
        (false, None) => Framing::UntilClose,
    }
}

/// What can be read from the body as it passes.
fn form(head: &ResponseHead) -> Form {
    let readable = !is_coded(head) || coding(head).is_some();
    if readable { Form::of(head.text("content-type").unwrap_or_default()) } else { Form::Opaque }
}

/// Whether a body comes compressed.
pub(crate) fn is_coded(head: &ResponseHead) -> bool {
    head.get("content-encoding").is_some()
        && !head
            .list("content-encoding")
            .and_then(|v| Coding::of(&v))
            .is_some_and(Coding::is_identity)
}

/// How the body is compressed, where that can be undone here.
fn coding(head: &ResponseHead) -> Option<Coding> {
    let coding = head.list("content-encoding").and_then(|value| Coding::of(&value));
    coding.filter(|coding| !coding.is_identity())
}
