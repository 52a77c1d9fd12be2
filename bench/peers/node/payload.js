const minPayload = 8 // what the call's number takes at the start of a payload

// fillPayload makes call n's payload: its number, then bytes that follow from it, so that a reply that belongs to another call, or
// lost its tail, is seen. The numbers are of 32 bits, since those of 64 are slow here.
export function fillPayload(n, size) {
  const b = Buffer.allocUnsafe(Math.max(size, minPayload))
  b.writeUInt32LE(n, 0)
  b.writeUInt32LE(0, 4)
  let x = (Math.imul(n, 0x9e3779b1) | 1) >>> 0
  let i = minPayload
  for (; i + 4 <= b.length; i += 4) {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    b.writeInt32LE(x | 0, i)
  }
  for (; i < b.length; i++) b[i] = x >>> (8 * (i & 3))
  return b
}
