"""What ran: one forward pass followed call by call, and the graph of its calls."""
