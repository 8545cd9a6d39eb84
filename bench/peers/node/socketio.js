// Socket.IO as its documentation shows it: a client joins a room, what it says goes to the room.
const http = require('http');
const { Server } = require('socket.io');

const server = http.createServer();
const io = new Server(server, {
  transports: ['websocket'],
  perMessageDeflate: process.env.DEFLATE ? { threshold: 1024, serverNoContextTakeover: true, clientNoContextTakeover: true } : false,
});

io.on('connection', (socket) => {
  const room = socket.handshake.query.room;
  socket.join(room);
  socket.on('say', (text) => io.to(room).emit('say', text));
  socket.emit('live');
});
server.listen(Number(process.env.PORT), '127.0.0.1', 4096);
