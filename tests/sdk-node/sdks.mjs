// The SDKs of this folder's lock file: older majors, which Node 20 still runs. The tests take them or
// those of `current`, as TOLLGATE_SDKS says.

export { default as Anthropic } from '@anthropic-ai/sdk'
export { createAnthropic } from '@ai-sdk/anthropic'
export { createGoogleGenerativeAI } from '@ai-sdk/google'
export { createOpenAI } from '@ai-sdk/openai'
export { FunctionCallingConfigMode, GoogleGenAI } from '@google/genai'
export * as ai from 'ai'
export { default as OpenAI } from 'openai'
export { ResponsesWS } from 'openai/resources/responses/ws'
