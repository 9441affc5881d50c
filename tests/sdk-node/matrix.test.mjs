// Every Node client before every dialect of an upstream: the same conversations, whatever is in
// between. The gateway and its strict providers are started by tests/front/matrix.rs.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'

import { OpenAI, ResponsesWS, clients } from './clients.mjs'
import { CITY, said } from './samples.mjs'

const { TOLLGATE_PROXY: proxy, TOLLGATE_KEY: key, TOLLGATE_ONLY: chosen } = process.env
assert(proxy && key, 'no gateway: run `cargo test --test front matrix`')

const told = JSON.parse(readFileSync(new URL('../targets.json', import.meta.url), 'utf8'))
// Where the providers are a mock of somebody else, it plays only some of the targets, and what is not
// converted would show only what that mock can do.
const targets = chosen ? chosen.split(' ') : Object.keys(told.targets)
const ours = chosen ? [] : targets
const failing = chosen ? [] : told.failing
const own = { openai_chat: 'chat', openai_responses: 'responses', anthropic_messages: 'anthropic', gemini: 'gemini' }
const LONG = 'one two three four five six seven eight nine ten eleven twelve thirteen'
const CALLED = new Set(['tool_calls', 'completed', 'tool_use', 'STOP', 'tool-calls'])
const NATURAL = new Set(['stop', 'completed', 'end_turn', 'STOP'])
const CUT = new Set(['length', 'max_output_tokens', 'max_tokens', 'MAX_TOKENS'])

/** Whether a target needs no conversion for this client. */
const same = (client, target) => client.name.replace('ai-', '').replace('google', 'gemini') === own[told.targets[target].dialect]

/** Each of the clients, whole and streamed, before each of `names`. */
function each(names, sentence, run) {
  describe(sentence, { concurrency: 8 }, () => {
    for (const client of clients(proxy, key)) {
      for (const target of names.filter((name) => !chosen || !same(client, name))) {
        for (const stream of [false, true]) {
          const name = `${client.name} before ${target}${stream ? ', streamed' : ''}`
          test(name, () => run(client, target, stream))
        }
      }
    }
  })
}

each(targets, 'a question is answered', async (client, target, stream) => {
  const answer = await client.ask(target, { text: 'hi', system: 'be brief', stream })
  assert.equal(answer.text, said('hi'))
  assert(NATURAL.has(answer.finish), answer.finish)
  assert(answer.input > 10 && answer.output > 5)
})

each(ours, 'an answer is cut at its limit', async (client, target, stream) => {
  const answer = await client.ask(target, { text: LONG, limit: 16, stream })
  assert(answer.text && said(LONG).startsWith(answer.text), answer.text)
  assert(CUT.has(answer.finish), answer.finish)
})

for (const think of [false, true]) {
  each(targets, `tools are called turn after turn${think ? ' by a model that thinks' : ''}`, async (client, target, stream) => {
    // A model that does not reason says so, where nothing is converted.
    if (think && target === 'chat' && same(client, target)) return
    const text = 'call weather {"city": "Kyōto"} and clock {"zone": "UTC"} then weather {"city": "奈良"}'
    const asked = { text, tools: ['weather', 'clock'], stream, think }
    const turns = await client.loop(target, asked, (name, input) => `<${name} ${Object.values(input)[0]}>`)
    assert.deepEqual(turns.map((turn) => turn.calls), [
      [['weather', { city: 'Kyōto' }], ['clock', { zone: 'UTC' }]],
      [['weather', { city: '奈良' }]],
      [],
    ])
    assert(turns.slice(0, -1).every((turn) => CALLED.has(turn.finish)))
    const places = ['<weather Kyōto>', '<clock UTC>', '<weather 奈良>'].map((result) => turns.at(-1).text.indexOf(result))
    assert(places.every((place, n) => place > (places[n - 1] ?? 0)), turns.at(-1).text)
  })
}

each(ours, 'a tool is named or forbidden', async (client, target, stream) => {
  const asked = { text: 'hi', tools: ['weather', 'clock'], stream }
  if (told.targets[target].profile.forced_tool_choice ?? true) {
    const { calls } = await client.ask(target, { ...asked, choice: 'clock' })
    assert.deepEqual(calls.map(([name]) => name), ['clock'])
  }
  const answer = await client.ask(target, { ...asked, choice: 'none' })
  assert.equal(answer.text, said('hi'))
})

each(targets, 'an image goes along', async (client, target, stream) => {
  const answer = await client.ask(target, { text: 'what is this?', image: true, stream })
  assert.equal(answer.text, said('what is this?'))
})

each(targets, 'an answer fits its schema', async (client, target, stream) => {
  const answer = await client.ask(target, { text: 'A city, please.', schema: true, stream })
  assert.deepEqual(JSON.parse(answer.text), { city: CITY, people: 3 })
})

each(targets, 'thinking is kept apart', async (client, target, stream) => {
  if (target === 'chat' && same(client, target)) return
  const answer = await client.ask(target, { text: 'hi', think: true, stream })
  assert.equal(answer.text, said('hi'))
  // OpenAI tells no thoughts in Chat Completions, and its client of the AI SDK reads none.
  const silent = target === 'chat' || target === 'chat-reasoning' || client.name === 'ai-chat'
  assert.equal(answer.thought, silent ? '' : 'Let me think – 让我想想.')
})

const STATUSES = { refused: [400], limited: [429], broken: [500], overloaded: [503, 529] }
for (const [fault, statuses] of Object.entries(STATUSES)) {
  each(failing, `a provider's ${statuses[0]} is the client's own error`, async (client, target, stream) => {
    const failure = await client.ask(`${target}.${fault}`, { text: 'hi', stream }).then(() => assert.fail('no error'), (e) => e)
    assert(statuses.includes(client.failed(failure)), `${failure.name}: ${failure.message}`)
  })
}

for (const fault of ['told', 'cut']) {
  each(failing, `a stream that is ${fault} in its middle has no end`, async (client, target, stream) => {
    if (!stream || (fault === 'cut' && same(client, target))) return
    await assert.rejects(client.ask(`${target}.${fault}`, { text: 'hi', stream }))
  })
}

each(chosen ? [] : told.sealed, 'thoughts come back with their proof', async (client, target, stream) => {
  // Chat Completions have no place for the state of the Responses, and the AI SDK's client of them
  // keeps nothing that is not OpenAI's. Its client of Gemini passes over a proof that comes alone, as
  // those of other vendors do in a stream.
  if ((client.name === 'chat' && target === 'responses') || client.name === 'ai-chat') return
  if (client.name === 'ai-google' && stream && !['gemini', 'chat-compatible'].includes(target)) return
  const text = 'call weather {"city": "a"} and clock {"zone": "UTC"} then weather {"city": "b"}'
  const asked = { text, tools: ['weather', 'clock'], think: true, stream }
  const turns = await client.loop(`${target}.sealed`, asked, (name) => `<${name}>`)
  assert.deepEqual(turns.map((turn) => turn.calls.length), [2, 1, 0])
})

each(failing, 'who leaves takes the provider along', async (client, target, stream) => {
  // Whether the provider was let go is looked at from its side.
  if (stream) await client.leave(`${target}.slow`)
})

describe('responses are made over a WebSocket', { concurrency: 8 }, () => {
  for (const target of ours) {
    test(target, async () => {
      const socket = new ResponsesWS(new OpenAI({ baseURL: `${proxy}/v1`, apiKey: key }))
      const ask = (request) =>
        new Promise((done, fail) => {
          let text = ''
          const hear = (event) => {
            if (event.type === 'response.output_text.delta') text += event.delta
            if (event.type !== 'response.completed') return
            socket.off('event', hear)
            done({ text, id: event.response.id, input: event.response.usage.input_tokens })
          }
          socket.on('event', hear)
          socket.once('error', fail)
          socket.send({ type: 'response.create', model: target, store: false, ...request })
        })
      try {
        const first = await ask({ input: 'hi' })
        assert.equal(first.text, said('hi'))
        const second = await ask({ input: 'again', previous_response_id: first.id })
        assert.equal(second.text, said('again'))
        assert(second.input > first.input, 'the conversation went along')
      } finally {
        socket.close()
      }
    })
  }
})
