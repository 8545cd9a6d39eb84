// The broadcast example of ws: what a client says goes to all clients of its path.
const { WebSocketServer, WebSocket } = require('ws');

const rooms = new Map();
const server = new WebSocketServer({
  host: '127.0.0.1',
  port: Number(process.env.PORT),
  backlog: 4096,
  // Without context takeover, as a server with many connections has to; the threshold is its default.
  perMessageDeflate: process.env.DEFLATE ? { serverNoContextTakeover: true, clientNoContextTakeover: true } : false,
});

server.on('connection', (client, request) => {
  let room = rooms.get(request.url);
  if (!room) rooms.set(request.url, (room = new Set()));
  room.add(client);
  client.on('close', () => room.delete(client));
  client.on('error', () => {});
  client.on('message', (data, binary) => {
    for (const member of room) if (member.readyState === WebSocket.OPEN) member.send(data, { binary });
  });
});
