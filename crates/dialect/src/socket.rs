//! Picks usage out of the messages of a WebSocket while they pass. OpenAI's Realtime API and its
//! Responses over a socket tell it with every answer (`response.done`, `response.completed`), Gemini's
//! Live API with `usageMetadata`; each report is of one answer, so they are added up. Where messages
//! begin and end is the business of whoever reads the frames.

use crate::{Gleaner, Tokens, told::Told};

/// Reads the messages that a provider sends on one socket.
#[derive(Debug, Default)]
pub struct SocketTap {
    /// Reads the message that is passing.
    gleaner: Gleaner,
    sum: Tokens,
    reports: u64,
    told: Told,
}

impl SocketTap {
    /// The next piece of a message.
    pub fn push(&mut self, piece: &[u8]) {
        self.gleaner.push(piece);
    }

    /// The message has ended; whether it told of more usage.
    pub fn message_ended(&mut self) -> bool {
        let message = std::mem::take(&mut self.gleaner);
        let tokens = message.usage();
        if let Some(tokens) = tokens {
            self.sum = self.sum.plus(&tokens);
            self.reports += 1;
        }
        self.told.then(message.into_told());
        tokens.is_some()
    }

    /// The tokens of all answers so far; none where no usage was told.
    pub fn usage(&self) -> Option<Tokens> {
        (self.reports > 0).then_some(self.sum)
    }

    /// What the provider said about its latest answer.
    pub fn told(&self) -> &Told {
        &self.told
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

    /// What messages in pieces of `size` tell, and after which of them there was more.
    fn read(messages: &[&str], size: usize) -> (SocketTap, Vec<bool>) {
        let mut tap = SocketTap::default();
        let mut more = Vec::new();
        for message in messages {
            message.as_bytes().chunks(size).for_each(|piece| tap.push(piece));
            more.push(tap.message_ended());
        }
        (tap, more)
    }

    #[test]
    fn every_answer_of_a_socket_counts_in_pieces_of_any_size() {
        let delta =
            format!(r#"{{"type":"response.audio.delta","delta":"{}"}}"#, "A".repeat(70_000));
        let begun = r#"{"type":"response.created","response":{"usage":null}}"#;
        let (first, second) = (done(10, 5), done(20, 7));
        let messages = [begun, &first, &delta, "", &second];
        for size in [1, 7, 4096, 1 << 20] {
            let (tap, more) = read(&messages, size);
            let tokens = tap.usage().unwrap();
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
