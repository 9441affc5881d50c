// The SDKs of this folder's lock file: the current majors, which ask for Node 22 or newer.

export { default as Anthropic } from '@anthropic-ai/sdk'
export { createAnthropic } from '@ai-sdk/anthropic'
export { createGoogleGenerativeAI } from '@ai-sdk/google'
export { createOpenAI } from '@ai-sdk/openai'
export { FunctionCallingConfigMode, GoogleGenAI } from '@google/genai'
export * as ai from 'ai'
export { default as OpenAI } from 'openai'
export { ResponsesWS } from 'openai/resources/responses/ws'
