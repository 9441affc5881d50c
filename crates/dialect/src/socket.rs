//! Reads usage from the messages of a WebSocket while they pass. OpenAI's Realtime API and
//! Responses over a socket report it with every answer (`response.done`, `response.completed`),
//! Gemini's Live API with `usageMetadata`; each report is about one answer, so reports are added
//! up. The caller finds the boundaries of messages.

use crate::{Tokens, UsageScanner, metadata::AnswerMetadata};

/// Observes the messages that a provider sends on one socket.
#[derive(Debug, Default)]
pub struct SocketObserver {
    /// Scans the current message.
    scanner: UsageScanner,
    sum: Tokens,
    reports: u64,
    metadata: AnswerMetadata,
}

impl SocketObserver {
    /// Reads the next piece of a message.
    pub fn push(&mut self, piece: &[u8]) {
        self.scanner.push(piece);
    }

    /// Ends the current message; returns whether it reported usage.
    pub fn message_ended(&mut self) -> bool {
        let message = std::mem::take(&mut self.scanner);
        let tokens = message.usage();
        if let Some(tokens) = tokens {
            self.sum = self.sum.plus(&tokens);
            self.reports += 1;
        }
        self.metadata.then(message.into_metadata());
        tokens.is_some()
    }

    /// The tokens of all answers so far; `None` if no usage was reported.
    pub fn usage(&self) -> Option<Tokens> {
        (self.reports > 0).then_some(self.sum)
    }

    /// The metadata of the latest answer.
    pub fn metadata(&self) -> &AnswerMetadata {
        &self.metadata
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(input: u64, output: u64) -> String {
        format!(
            r#"{{"type":"response.done","response":{{"status":"completed","usage":{{"total_tokens":{},"input_tokens":{input},"output_tokens":{output},"input_token_details":{{"audio_tokens":{input}}}}}}}}}"#,
            input + output
        )
    }

    /// Reads messages in pieces of `size` bytes; returns the observer and, for each message,
    /// whether it reported usage.
    fn read(messages: &[&str], size: usize) -> (SocketObserver, Vec<bool>) {
        let mut observer = SocketObserver::default();
        let mut more = Vec::new();
        for message in messages {
            message.as_bytes().chunks(size).for_each(|piece| observer.push(piece));
            more.push(observer.message_ended());
        }
        (observer, more)
    }

    #[test]
    fn every_answer_of_a_socket_counts_in_pieces_of_any_size() {
        let delta =
            format!(r#"{{"type":"response.audio.delta","delta":"{}"}}"#, "A".repeat(70_000));
        let begun = r#"{"type":"response.created","response":{"usage":null}}"#;
        let (first, second) = (done(10, 5), done(20, 7));
        let messages = [begun, &first, &delta, "", &second];
        for size in [1, 7, 4096, 1 << 20] {
            let (observer, more) = read(&messages, size);
            let tokens = observer.usage().unwrap();
            assert_eq!((tokens.input, tokens.output, tokens.input_audio), (30, 12, 30), "{size}");
            assert_eq!(more, [false, true, false, false, true]);
        }
        assert_eq!(read(&[begun, &delta], 100).0.usage(), None);
    }

    #[test]
    fn gemini_live_tells_its_usage_with_every_turn() {
        let message = r#"{"serverContent":{"turnComplete":true},"usageMetadata":{"promptTokenCount":30,"responseTokenCount":12,"totalTokenCount":42,"responseTokensDetails":[{"modality":"AUDIO","tokenCount":12}]}}"#;
        let tokens = read(&[message, message], 50).0.usage().unwrap();
        assert_eq!((tokens.input, tokens.output, tokens.output_audio), (60, 24, 24));
    }
}
