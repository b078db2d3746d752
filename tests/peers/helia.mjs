// Helia's libraries as a peer of the content store. Prints one JSON document; nothing outside of the URL given is asked.
//
//   helia.mjs build FOLDER ARCHIVE     import a folder with the profile unixfs-v1-2025 and write its archive: the root
//   helia.mjs gateway URL ROOT         read a folder through a trustless gateway, block by block: the digest of each file
//   helia.mjs archive ARCHIVE ROOT     read a folder out of an archive: the digest of each file
import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { car } from '@helia/car'
import { fallbackRouter } from '@helia/fallback-router'
import { trustlessGatewayBlockBroker } from '@helia/trustless-gateway-client'
import { globSource, unixfs } from '@helia/unixfs'
import { CarReader } from '@ipld/car'
import * as dagPb from '@ipld/dag-pb'
import { MemoryBlockstore } from 'blockstore-core'
import { CID } from 'multiformats/cid'
import * as raw from 'multiformats/codecs/raw'
import { sha256 } from 'multiformats/hashes/sha2'

const nothing = Object.assign(() => {}, { error: () => {}, trace: () => {} })
const logger = { forComponent: () => nothing }
const getCodec = (code) => [dagPb, raw].find((codec) => codec.code === code)

// A store that asks the gateway for what it lacks, as a node of Helia's does, and hashes what comes.
class Remote extends MemoryBlockstore {
  constructor (url) {
    super()
    const routing = fallbackRouter({ gateways: [url] })
    this.broker = trustlessGatewayBlockBroker({ allowInsecure: true, allowLocal: true })({ routing, logger })
  }

  async * get (cid, options) {
    if (!this.has(cid)) {
      const validateFn = async (block) => {
        const { digest } = await sha256.digest(block)
        if (Buffer.compare(digest, cid.multihash.digest) !== 0) throw new Error(`not the block ${cid}`)
      }
      this.put(cid, await this.broker.retrieve(cid, { ...options, validateFn }))
    }
    yield * super.get(cid, options)
  }
}

const read = async (blockstore, root) => {
  const fs = unixfs({ blockstore })
  const found = {}
  const walk = async (cid, below) => {
    for await (const { name, cid: child } of fs.ls(cid)) {
      const path = below + name
      if ((await fs.stat(child)).type === 'directory') await walk(child, `${path}/`)
      else {
        const digest = createHash('sha256')
        for await (const piece of fs.cat(child)) digest.update(piece)
        found[path] = digest.digest('hex')
      }
    }
  }
  await walk(root, '')
  return found
}

const build = async (folder, archive) => {
  const blockstore = new MemoryBlockstore()
  let root
  const source = globSource(folder, '**/*')
  const options = { profile: 'unixfs-v1-2025', wrapWithDirectory: true }
  for await (const { cid } of unixfs({ blockstore }).addAll(source, options)) root = cid
  await pipeline(car({ blockstore, getCodec, logger }).export(root), createWriteStream(archive))
  return root.toString()
}

const unpack = async (archive) => {
  const blockstore = new MemoryBlockstore()
  await car({ blockstore, getCodec, logger }).import(await CarReader.fromIterable(createReadStream(archive)))
  return blockstore
}

const [command, first, second] = process.argv.slice(2)
const work = {
  build: () => build(first, second),
  gateway: () => read(new Remote(first), CID.parse(second)),
  archive: async () => read(await unpack(first), CID.parse(second))
}
console.log(JSON.stringify(await work[command]()))
