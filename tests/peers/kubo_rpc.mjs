// Every method of kubo-rpc-client that the store answers, against the URL given; prints one JSON document.
// What it read is given back in base64 and compared by the test that started it.
import { create } from 'kubo-rpc-client'

const [url, cid, missing] = process.argv.slice(2)
const client = create({ url })
const gather = async (source) => {
  const found = []
  for await (const item of source) found.push(item)
  return found
}
const bytes = async (source) => Buffer.concat(await gather(source))
const base64 = async (source) => (await bytes(source)).toString('base64')
const refused = async (promise) => {
  try {
    await promise
    return null
  } catch (error) {
    return error.message
  }
}
const layout = { cidVersion: 1, rawLeaves: true, chunker: 'size-1048576' }
const out = {}

out.version = (await client.version()).version
out.id = (await client.id()).id.toString()
out.cat = await base64(client.cat(`${cid}/sub/more`))
out.range = await base64(client.cat(`${cid}/sub/more`, { offset: 1048570, length: 100 }))
out.ls = (await gather(client.ls(`${cid}/sub`))).map(({ name, size, type }) => [name, size, type])
out.tar = await base64(client.get(`${cid}/sub`))
out.missing = await refused(bytes(client.cat(missing)))

const progress = []
const data = Buffer.alloc(3 << 20, 'steelyard')
const added = await client.add(data, { ...layout, progress: (done) => progress.push(done) })
out.added = added.cid.toString()
out.progress = progress
const tree = [{ path: 'd/a', content: 'A' }, { path: 'd/b/c', content: 'C' }]
out.tree = (await gather(client.addAll(tree, layout))).map(({ path, cid }) => [path, cid.toString()])
const root = out.tree.at(-1)[1]
out.hash = (await client.add(data, { ...layout, onlyHash: true })).cid.toString()

const block = await client.block.put(Buffer.from('abc'), { format: 'raw' })
out.block = [block.toString(), Buffer.from(await client.block.get(block)).toString()]
out.stat = (await client.block.stat(block)).size

const archive = await bytes(client.dag.export(root))
out.archive = archive.toString('base64')
out.imported = (await gather(client.dag.import([archive]))).map((item) => item.root.cid.toString())
archive[archive.length - 1] ^= 1
out.forged = await refused(gather(client.dag.import([archive])))

out.pinned = (await client.pin.add(block)).toString()
out.pins = (await gather(client.pin.ls({ type: 'recursive' }))).map((pin) => pin.cid.toString())
await client.pin.update(block, added.cid)
out.unpinned = (await client.pin.rm(root)).toString()
out.left = (await gather(client.pin.ls({ type: 'recursive' }))).map((pin) => pin.cid.toString())

out.collected = (await gather(client.repo.gc({ grace: 0 }))).map((item) => item.cid.toString())
out.repo = Number((await client.repo.stat()).numObjects)
out.format = await client.repo.version()
console.log(JSON.stringify(out))
