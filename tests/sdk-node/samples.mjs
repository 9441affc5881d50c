// What several tests say and ask for; the same as in tests/sdk/samples.py.

export const CITY = '東京 (Tōkyō)'
export const PIXEL =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGP4////fwAJ+wP9KobjigAAAABJRU5ErkJggg=='

/** What the pretended providers answer to a text. */
export const said = (text) =>
  `You said “${text}”. Hello from the mock "provider": 你好，世界 🚀 – naïve\n\tend.`

const object = (properties) => ({
  type: 'object', properties, required: Object.keys(properties), additionalProperties: false,
})

export const CITY_SCHEMA = object({ city: { type: 'string' }, people: { type: 'integer' } })
export const DECLARED = {
  weather: { about: 'The weather of a city.', schema: object({ city: { type: 'string' } }) },
  clock: {
    about: 'The time in a zone.',
    schema: object({ zone: { type: 'string', enum: ['Asia/Tokyo', 'UTC'] } }),
  },
}
