// A mock that others wrote, made to follow the same script as our own (crates/mock): what it reads out
// of each dialect and how it writes each dialect is its own work. Ends when its input does.

import { LLMock } from '@copilotkit/aimock'

import { CITY, said } from './samples.mjs'

/** The calls that a text orders, round by round: `call NAME {…} and NAME {…} then NAME {…}`. */
function ordered(text) {
  if (!text.startsWith('call ')) return []
  const round = (part) => part.split(' and ').map((order) => {
    const [, name, input] = order.match(/^(\w+) (\{.*\})$/)
    return { name, arguments: input }
  })
  return text.slice('call '.length).split(' then ').map(round)
}

const text = (content) =>
  typeof content === 'string' ? content : (content ?? []).map((part) => part.text ?? '').join('')

function answer({ messages, tools = [] }) {
  const spoken = messages.findLastIndex((message) => message.role === 'user')
  const since = messages.slice(spoken + 1)
  const results = since.filter((message) => message.role === 'tool').map((message) => text(message.content))
  // Calls of one turn come one by one out of some dialects.
  const turns = since.filter(({ role }, n) => role === 'tool' && since[n - 1]?.role !== 'tool')
  const question = text(messages[spoken].content)
  const toolCalls = tools.length > 0 && ordered(question)[turns.length]
  if (toolCalls) return { toolCalls, ...spent }
  if (results.length > 0) return { content: `The tool says: ${results.join(', ')} – done.`, ...spent }
  if (question.includes('A city')) return { content: JSON.stringify({ city: CITY, people: 3 }), ...spent }
  return { content: said(question), reasoning: 'Let me think – 让我想想.', ...spent }
}

// It counts nothing by itself; each dialect takes its own names out of these.
const spent = {
  usage: {
    prompt_tokens: 40, completion_tokens: 20, total_tokens: 60, input_tokens: 40, output_tokens: 20,
    promptTokenCount: 40, candidatesTokenCount: 20, totalTokenCount: 60,
  },
}

const mock = new LLMock({ port: 0, host: '127.0.0.1' })
mock.on({ predicate: () => true }, answer)
console.log(await mock.start())
process.stdin.resume().on('end', () => mock.stop().then(() => process.exit(0)))
