// The kinds of clients that Node programs use, behind one face, so that one scenario tries them all:
// the providers' own SDKs, and the AI SDK with its three providers. Each is used as people use it:
// what the SDK cannot read is a failure of the test.

import { CITY_SCHEMA, DECLARED, PIXEL } from './samples.mjs'

export const {
  Anthropic, FunctionCallingConfigMode, GoogleGenAI, OpenAI, ResponsesWS, ai, createAnthropic, createGoogleGenerativeAI, createOpenAI,
} = await import(process.env.TOLLGATE_SDKS ?? './sdks.mjs')
const { Output, generateText, jsonSchema, stepCountIs, streamText, tool } = ai

/**
 * What is to be said, in words that all of them share.
 * @typedef {{ text: string, system?: string, image?: boolean, schema?: boolean, think?: boolean, limit?: number,
 *   tools?: string[], choice?: string, stream?: boolean }} Asked
 */

/**
 * What came back, in words that all of them share.
 * @typedef {{ text: string, thought: string, calls: [string, object][], finish: string, input: number, output: number }} Told
 */

/** A conversation goes on as long as tools are called. */
class Client {
  async ask(model, asked) {
    return this.turn(model, asked, this.opening(asked))
  }

  async loop(model, asked, answer) {
    const history = this.opening(asked)
    const told = [await this.turn(model, asked, history)]
    while (told.at(-1).calls.length > 0) {
      if (told.length > 8) throw new Error('the model calls for ever')
      this.answered(history, told.at(-1).calls.map(([name, input]) => answer(name, input)))
      told.push(await this.turn(model, asked, history))
    }
    return told
  }
}

const declared = (asked) => (asked.tools ?? []).map((name) => ({ name, ...DECLARED[name] }))
const only = (members) => Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined))

export class Chat extends Client {
  name = 'chat'

  constructor(proxy, key) {
    super()
    this.client = new OpenAI({ baseURL: `${proxy}/v1`, apiKey: key, maxRetries: 0 })
  }

  opening({ text, image, system }) {
    const url = `data:image/png;base64,${PIXEL}`
    const content = image ? [{ type: 'text', text }, { type: 'image_url', image_url: { url } }] : text
    return [...(system ? [{ role: 'system', content: system }] : []), { role: 'user', content }]
  }

  async turn(model, asked, messages) {
    const tools = declared(asked).map(({ name, about, schema }) => ({
      type: 'function',
      function: { name, description: about, parameters: schema },
    }))
    const named = { type: 'function', function: { name: asked.choice } }
    const body = only({
      model,
      messages,
      max_completion_tokens: asked.limit ?? 4000,
      tools: tools.length > 0 ? tools : undefined,
      tool_choice: asked.choice && (asked.choice === 'none' ? 'none' : named),
      reasoning_effort: asked.think ? 'low' : undefined,
      response_format: asked.schema
        ? { type: 'json_schema', json_schema: { name: 'city', schema: CITY_SCHEMA, strict: true } }
        : undefined,
    })
    const completions = this.client.chat.completions
    const answer = await (asked.stream ? this.streamed(body) : completions.create(body))
    const [{ message, finish_reason: finish }] = answer.choices
    messages.push(message)
    return {
      text: message.content ?? '',
      thought: message.reasoning_content ?? '',
      calls: (message.tool_calls ?? []).map((call) => [call.function.name, JSON.parse(call.function.arguments)]),
      finish,
      input: answer.usage.prompt_tokens,
      output: answer.usage.completion_tokens,
    }
  }

  async streamed(body) {
    const stream = this.client.chat.completions.stream({ ...body, stream_options: { include_usage: true } })
    // The helper knows no reasoning, and keeps only the last piece of what it does not know.
    let reasoning = ''
    stream.on('chunk', (chunk) => {
      reasoning += chunk.choices[0]?.delta.reasoning_content ?? ''
    })
    const answer = await stream.finalChatCompletion()
    if (reasoning) answer.choices[0].message.reasoning_content = reasoning
    return answer
  }

  answered(messages, results) {
    const calls = messages.at(-1).tool_calls
    calls.forEach((call, n) => messages.push({ role: 'tool', tool_call_id: call.id, content: results[n] }))
  }

  failed = (error) => error instanceof OpenAI.APIError && error.status

  async leave(model) {
    const messages = this.opening({ text: 'hi' })
    const stream = await this.client.chat.completions.create({ model, messages, stream: true })
    for await (const chunk of stream) {
      if (chunk.choices[0].delta.content) break
    }
  }
}

export class Responses extends Client {
  name = 'responses'

  constructor(proxy, key) {
    super()
    this.client = new OpenAI({ baseURL: `${proxy}/v1`, apiKey: key, maxRetries: 0 })
  }

  opening({ text, image }) {
    const picture = { type: 'input_image', image_url: `data:image/png;base64,${PIXEL}`, detail: 'auto' }
    return [{ role: 'user', content: image ? [{ type: 'input_text', text }, picture] : text }]
  }

  async turn(model, asked, input) {
    const tools = declared(asked).map(({ name, about, schema }) => ({
      type: 'function', name, description: about, parameters: schema, strict: true,
    }))
    const format = { type: 'json_schema', name: 'city', schema: CITY_SCHEMA, strict: true }
    const named = { type: 'function', name: asked.choice }
    const body = only({
      model,
      input,
      store: false,
      instructions: asked.system,
      max_output_tokens: asked.limit ?? 4000,
      tools: tools.length > 0 ? tools : undefined,
      tool_choice: asked.choice && (asked.choice === 'none' ? 'none' : named),
      reasoning: asked.think ? { effort: 'low', summary: 'auto' } : undefined,
      include: asked.think ? ['reasoning.encrypted_content'] : undefined,
      text: asked.schema ? { format } : undefined,
    })
    const answer = asked.stream
      ? await this.client.responses.stream(body).finalResponse()
      : await this.client.responses.create(body)
    // Its helper hands out an answer that has failed like any other.
    if (answer.status === 'failed') throw new OpenAI.APIError(undefined, answer.error, undefined, undefined)
    // What the SDK adds for its user is not for the provider.
    input.push(...answer.output.map(({ parsed_arguments: _, ...item }) => item))
    const reasoning = answer.output.filter((item) => item.type === 'reasoning')
    return {
      text: answer.output_text,
      thought: reasoning.flatMap((item) => item.summary.map((part) => part.text)).join(''),
      calls: answer.output
        .filter((item) => item.type === 'function_call')
        .map((item) => [item.name, JSON.parse(item.arguments)]),
      finish: answer.incomplete_details?.reason ?? answer.status,
      input: answer.usage.input_tokens,
      output: answer.usage.output_tokens,
    }
  }

  answered(input, results) {
    const done = input.filter((item) => item.type === 'function_call_output').map((item) => item.call_id)
    const open = input.filter((item) => item.type === 'function_call' && !done.includes(item.call_id))
    open.forEach((call, n) => {
      input.push({ type: 'function_call_output', call_id: call.call_id, output: results[n] })
    })
  }

  failed = (error) => error instanceof OpenAI.APIError && error.status

  async leave(model) {
    const stream = await this.client.responses.create({ model, input: 'hi', stream: true })
    for await (const event of stream) {
      if (event.type === 'response.output_text.delta') break
    }
  }
}

export class Messages extends Client {
  name = 'anthropic'

  constructor(proxy, key) {
    super()
    this.client = new Anthropic({ baseURL: proxy, apiKey: key, maxRetries: 0 })
  }

  opening({ text, image }) {
    const source = { type: 'base64', media_type: 'image/png', data: PIXEL }
    return [{ role: 'user', content: image ? [{ type: 'image', source }, { type: 'text', text }] : text }]
  }

  async turn(model, asked, messages) {
    const tools = declared(asked).map(({ name, about, schema }) => ({
      name, description: about, input_schema: schema,
    }))
    const named = { type: 'tool', name: asked.choice }
    const older = model.startsWith('anthropic-older')
    const thinking = older
      ? { type: 'enabled', budget_tokens: 2048 }
      : { type: 'adaptive', display: 'summarized' }
    const config = only({
      effort: asked.think && !older ? 'low' : undefined,
      format: asked.schema ? { type: 'json_schema', schema: CITY_SCHEMA } : undefined,
    })
    const body = only({
      model,
      messages,
      system: asked.system && [{ type: 'text', text: asked.system, cache_control: { type: 'ephemeral' } }],
      max_tokens: asked.limit ?? 4000,
      tools: tools.length > 0 ? tools : undefined,
      tool_choice: asked.choice && (asked.choice === 'none' ? { type: 'none' } : named),
      thinking: asked.think ? thinking : undefined,
      output_config: Object.keys(config).length > 0 ? config : undefined,
    })
    const answer = asked.stream
      ? await this.client.messages.stream(body).finalMessage()
      : await this.client.messages.create(body)
    messages.push({ role: 'assistant', content: answer.content })
    const of = (type) => answer.content.filter((block) => block.type === type)
    const { usage } = answer
    return {
      text: of('text').map((block) => block.text).join(''),
      thought: of('thinking').map((block) => block.thinking).join(''),
      calls: of('tool_use').map((block) => [block.name, block.input]),
      finish: answer.stop_reason,
      input: usage.input_tokens + (usage.cache_read_input_tokens ?? 0) + (usage.cache_creation_input_tokens ?? 0),
      output: usage.output_tokens,
    }
  }

  answered(messages, results) {
    const calls = messages.at(-1).content.filter((block) => block.type === 'tool_use')
    const content = calls.map(({ id }, n) => ({ type: 'tool_result', tool_use_id: id, content: results[n] }))
    messages.push({ role: 'user', content })
  }

  failed = (error) => error instanceof Anthropic.APIError && error.status

  async leave(model) {
    const messages = this.opening({ text: 'hi' })
    const stream = this.client.messages.stream({ model, messages, max_tokens: 99 })
    for await (const event of stream) {
      if (event.type === 'content_block_delta') break
    }
  }
}

export class Gemini extends Client {
  name = 'gemini'

  constructor(proxy, key) {
    super()
    this.client = new GoogleGenAI({ apiKey: key, httpOptions: { baseUrl: proxy } })
  }

  opening({ text, image }) {
    const picture = { inlineData: { mimeType: 'image/png', data: PIXEL } }
    return [{ role: 'user', parts: image ? [{ text }, picture] : [{ text }] }]
  }

  async turn(model, asked, contents) {
    const older = model.startsWith('gemini-older')
    const functionDeclarations = declared(asked).map(({ name, about, schema }) => ({
      name, description: about, ...(older ? { parameters: google(schema) } : { parametersJsonSchema: schema }),
    }))
    const mode = asked.choice === 'none' ? FunctionCallingConfigMode.NONE : FunctionCallingConfigMode.ANY
    const allowedFunctionNames = asked.choice === 'none' ? undefined : [asked.choice]
    const config = only({
      systemInstruction: asked.system,
      maxOutputTokens: asked.limit ?? 4000,
      tools: functionDeclarations.length > 0 ? [{ functionDeclarations }] : undefined,
      toolConfig: asked.choice && { functionCallingConfig: only({ mode, allowedFunctionNames }) },
      thinkingConfig: asked.think
        ? { includeThoughts: true, ...(older ? { thinkingBudget: 2048 } : { thinkingLevel: 'LOW' }) }
        : undefined,
      responseMimeType: asked.schema ? 'application/json' : undefined,
      responseSchema: asked.schema ? google(CITY_SCHEMA) : undefined,
    })
    const pieces = []
    if (asked.stream) {
      const stream = await this.client.models.generateContentStream({ model, contents, config })
      for await (const piece of stream) pieces.push(piece)
    } else {
      pieces.push(await this.client.models.generateContent({ model, contents, config }))
    }
    const parts = pieces.flatMap((piece) => piece.candidates[0].content?.parts ?? [])
    contents.push({ role: 'model', parts })
    const usage = pieces.at(-1).usageMetadata
    return {
      text: parts.filter((part) => !part.thought).map((part) => part.text ?? '').join(''),
      thought: parts.filter((part) => part.thought).map((part) => part.text ?? '').join(''),
      calls: parts.filter((part) => part.functionCall).map(({ functionCall }) => [functionCall.name, functionCall.args]),
      finish: pieces.at(-1).candidates[0].finishReason,
      input: usage.promptTokenCount,
      output: (usage.candidatesTokenCount ?? 0) + (usage.thoughtsTokenCount ?? 0),
    }
  }

  answered(contents, results) {
    const calls = contents.at(-1).parts.filter((part) => part.functionCall)
    const parts = calls.map(({ functionCall: { id, name } }, n) => ({
      functionResponse: only({ id, name, response: { output: results[n] } }),
    }))
    contents.push({ role: 'user', parts })
  }

  failed = (error) => error.name === 'ApiError' && error.status

  async leave(model) {
    const contents = this.opening({ text: 'hi' })
    const abort = new AbortController()
    const config = { abortSignal: abort.signal }
    for await (const piece of await this.client.models.generateContentStream({ model, contents, config })) {
      if (piece.text) break
    }
    abort.abort()
  }
}

/** A schema in Google's own words. */
function google({ additionalProperties: _, ...schema }) {
  const named = { ...schema, type: schema.type.toUpperCase() }
  if (schema.properties) {
    const properties = Object.entries(schema.properties).map(([name, inner]) => [name, google(inner)])
    named.properties = Object.fromEntries(properties)
  }
  return named
}

/** The AI SDK answers calls by itself, so that a loop is one call of it. */
class Vercel {
  constructor(name, model, options) {
    Object.assign(this, { name, model, options })
  }

  async ask(model, asked) {
    return (await this.steps(model, asked)).at(-1)
  }

  async loop(model, asked, answer) {
    return this.steps(model, asked, answer)
  }

  async steps(model, asked, answer) {
    const content = [{ type: 'text', text: asked.text }]
    if (asked.image) content.push({ type: 'image', image: Buffer.from(PIXEL, 'base64'), mediaType: 'image/png' })
    const tools = declared(asked).map(({ name, about, schema }) => {
      const execute = answer && (async (input) => answer(name, input))
      return [name, tool(only({ description: about, inputSchema: jsonSchema(schema), execute }))]
    })
    const call = only({
      model: this.model(model),
      maxRetries: 0,
      system: asked.system,
      messages: [{ role: 'user', content }],
      maxOutputTokens: asked.limit ?? 4000,
      tools: tools.length > 0 ? Object.fromEntries(tools) : undefined,
      toolChoice: asked.choice && (asked.choice === 'none' ? 'none' : { type: 'tool', toolName: asked.choice }),
      stopWhen: stepCountIs(8),
      output: asked.schema ? Output.object({ schema: jsonSchema(CITY_SCHEMA) }) : undefined,
      providerOptions: this.options(model, asked.think),
    })
    let steps
    if (asked.stream) {
      let failure
      const result = streamText({ ...call, onError: ({ error }) => { failure = error } })
      await result.consumeStream()
      if (failure) throw failure
      steps = await result.steps
    } else {
      steps = (await generateText(call)).steps
    }
    return steps.map((step) => ({
      text: step.text,
      thought: step.reasoningText ?? '',
      calls: step.toolCalls.map((call) => [call.toolName, call.input]),
      finish: step.finishReason,
      input: step.usage.inputTokens,
      output: step.usage.outputTokens,
    }))
  }

  failed = (error) => error.statusCode

  async leave(model) {
    const abort = new AbortController()
    const { textStream } = streamText({ model: this.model(model), prompt: 'hi', abortSignal: abort.signal, maxRetries: 0 })
    for await (const text of textStream) {
      if (text) break
    }
    abort.abort()
  }
}

/** All of them, at one gateway. */
export function clients(proxy, key) {
  const openai = createOpenAI({ baseURL: `${proxy}/v1`, apiKey: key })
  const anthropic = createAnthropic({ baseURL: `${proxy}/v1`, apiKey: key })
  const google = createGoogleGenerativeAI({ baseURL: `${proxy}/v1beta`, apiKey: key })
  const forceReasoning = true
  const stateless = { store: false, include: ['reasoning.encrypted_content'] }
  const summary = { reasoningEffort: 'low', reasoningSummary: 'auto', ...stateless, forceReasoning }
  const options = {
    chat: (model, think) => ({
      openai: think ? { reasoningEffort: 'low', forceReasoning } : { forceReasoning: model === 'chat-reasoning' },
    }),
    responses: (_, think) => ({ openai: think ? summary : stateless }),
    anthropic: (model, think) => {
      const older = { type: 'enabled', budgetTokens: 2048 }
      const thinking = model.startsWith('anthropic-older') ? older : { type: 'adaptive', display: 'summarized' }
      // It does not know that these models can do without a made-up tool.
      return { anthropic: only({ structuredOutputMode: 'outputFormat', thinking: think ? thinking : undefined }) }
    },
    google: (model, think) => {
      const depth = model.startsWith('gemini-older') ? { thinkingBudget: 2048 } : { thinkingLevel: 'low' }
      return { google: think ? { thinkingConfig: { ...depth, includeThoughts: true } } : {} }
    },
  }
  return [
    new Chat(proxy, key),
    new Responses(proxy, key),
    new Messages(proxy, key),
    new Gemini(proxy, key),
    new Vercel('ai-chat', openai.chat, options.chat),
    new Vercel('ai-responses', openai.responses, options.responses),
    new Vercel('ai-anthropic', anthropic, options.anthropic),
    new Vercel('ai-google', google, options.google),
  ]
}
