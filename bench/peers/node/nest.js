// NestJS microservices as docs.nestjs.com/microservices shows them: a controller with one @MessagePattern, and a ClientProxy whose
// send() makes the call. Bodies are base64 in its JSON packets. Decorators are applied by hand, as TypeScript's output does.
import 'reflect-metadata'
import { Controller, Logger, Module } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { ClientProxyFactory, MessagePattern, Payload, Transport } from '@nestjs/microservices'
import { Kafka, logLevel } from 'kafkajs'
import { firstValueFrom } from 'rxjs'

function application(pattern) {
  class EchoController {
    echo(data) { return data }
  }
  MessagePattern(pattern)(EchoController.prototype, 'echo', Object.getOwnPropertyDescriptor(EchoController.prototype, 'echo'))
  Payload()(EchoController.prototype, 'echo', 0)
  Controller()(EchoController)
  class EchoModule {}
  Module({ controllers: [EchoController] })(EchoModule)
  return EchoModule
}

async function worker(spec, options) {
  const app = await NestFactory.createMicroservice(application(spec.Stream), { ...options, logger: false })
  await app.listen()
  return { close: () => app.close() }
}

async function client(spec, options) {
  Logger.overrideLogger(false) // it would write on the channel of the answers
  const proxy = ClientProxyFactory.create(options)
  proxy.subscribeToResponseOf?.(spec.Stream) // Kafka: which reply topic the client joins
  await proxy.connect()
  return {
    call: async (body) => {
      const { body: text } = await firstValueFrom(proxy.send(spec.Stream, { body: body.toString('base64') }))
      return Buffer.from(text, 'base64')
    },
    close: () => proxy.close(),
  }
}

function redis(spec) {
  const { hostname, port } = new URL(spec.URL)
  return { transport: Transport.REDIS, options: { host: hostname, port: Number(port) } }
}

// nats: "queue" makes workers share the requests, as several would have to.
function nats(spec) {
  return { transport: Transport.NATS, options: { servers: [spec.URL], queue: 'workers' } }
}

const kafkaPartitions = 4 // of the request topic, of which one worker reads all

function kafkaClient(spec) {
  return { clientId: 'echo', brokers: [new URL(spec.URL).host], logLevel: logLevel.NOTHING }
}

function kafka(spec) {
  return {
    transport: Transport.KAFKA,
    options: {
      client: kafkaClient(spec),
      consumer: { groupId: 'workers' },
      run: { partitionsConsumedConcurrently: kafkaPartitions },
    },
  }
}

// topics are made first: a consumer that joins a group before its topic exists fails.
async function topics(spec) {
  const admin = new Kafka(kafkaClient(spec)).admin()
  await admin.connect()
  await admin.createTopics({
    waitForLeaders: true,
    topics: [{ topic: spec.Stream, numPartitions: kafkaPartitions }, { topic: spec.Stream + '.reply', numPartitions: 1 }],
  })
  await admin.disconnect()
}

export const nest = {
  'nest-redis-worker': (spec) => worker(spec, redis(spec)),
  'nest-redis-client': (spec) => client(spec, redis(spec)),
  'nest-nats-worker': (spec) => worker(spec, nats(spec)),
  'nest-nats-client': (spec) => client(spec, nats(spec)),
  'nest-kafka-worker': async (spec) => {
    await topics(spec)
    return worker(spec, kafka(spec))
  },
  'nest-kafka-client': (spec) => client(spec, kafka(spec)),
}
